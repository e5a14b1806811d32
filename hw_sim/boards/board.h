/* Samples by semihosting: the emulator opens and reads the files in.bin and out.bin for the firmware. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x18, EXIT_DONE = 0x20026, EXIT_ERROR = 0x20023 };

static inline uintptr_t semihost(uintptr_t operation, uintptr_t argument)
{
#if defined(__arm__)
    register uintptr_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#elif defined(__riscv)
    register uintptr_t a0 __asm__("a0") = operation;
    register uintptr_t a1 __asm__("a1") = argument;

    __asm__ volatile(".option push\n .option norvc\n .balign 16\n slli x0, x0, 0x1f\n ebreak\n srai x0, x0, 7\n"
                     " .option pop" : "+r"(a0) : "r"(a1) : "memory");
    return a0;
#endif
}

static inline void board_exit(int code)
{
    (void)semihost(SYS_EXIT, code == 0 ? EXIT_DONE : EXIT_ERROR);
    for (;;) {
    }
}

/* The handle of a file; mode 1 reads bytes, 5 writes them. */
static inline uintptr_t board_open(const char *name, uintptr_t length, uintptr_t mode)
{
    const uintptr_t block[3] = { (uintptr_t)name, mode, length };

    return semihost(SYS_OPEN, (uintptr_t)block);
}

/* 1 where all bytes came, 0 at the end. */
static inline int net_get(void *to, unsigned int bytes)
{
    static uintptr_t file;
    uintptr_t block[3];

    if (file == 0) {
        file = board_open("in.bin", 6, 1);
    }
    block[0] = file;
    block[1] = (uintptr_t)to;
    block[2] = bytes;
    return semihost(SYS_READ, (uintptr_t)block) == 0;
}

static inline void net_put(const void *from, unsigned int bytes)
{
    static uintptr_t file;
    uintptr_t block[3];

    if (file == 0) {
        file = board_open("out.bin", 7, 5);
    }
    block[0] = file;
    block[1] = (uintptr_t)from;
    block[2] = bytes;
    if (semihost(SYS_WRITE, (uintptr_t)block) != 0) {
        board_exit(1);
    }
}

#endif
