/* From reset to main() on a bare Cortex-M or RISC-V: the stack, memory that must be zero, and the way out.
 * The firmware has no initialised variables, which board.ld asserts.
 */
#include <stdint.h>
#include "board.h"

extern uint32_t zero_begin[], zero_end[], stack_top[];

int main(void);

static void begin(void)
{
    uint32_t *word;

    for (word = zero_begin; word < zero_end; word++) {
        *word = 0;
    }
    board_exit(main());
}

#if defined(__arm__)
/* The initial stack pointer, reset, and for every fault the same: stop, so that the emulator's caller hears of it. */
static void fault(void)
{
    board_exit(1);
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[4] = {
    (uintptr_t)stack_top, (uintptr_t)begin, (uintptr_t)fault, (uintptr_t)fault,
};
#elif defined(__riscv)
__attribute__((section(".vectors"), naked, used)) void _start(void)
{
    __asm__ volatile("la sp, stack_top\n tail board_begin");
}

__attribute__((used)) void board_begin(void)
{
    begin();
}
#endif
