#include "avr.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include <stdint.h>

/* in.bin, or nothing: behind all code, so that constants stay in the first 64 KiB of flash. The processor sleeps before
   it would run into it. */
__asm__(".pushsection .fini0,\"ax\"\n"
        "samples:\n"
#ifdef SAMPLES
        ".incbin \"in.bin\"\n"
#endif
        "samples_end:\n"
        ".balign 2\n"
        ".popsection\n");
extern const uint8_t samples[];
extern const uint8_t samples_end[];

static void put(uint8_t c)
{
    UCSR0A = 1 << U2X0;
    UCSR0B = 1 << TXEN0;
    while (!(UCSR0A & 1 << UDRE0)) {
    }
    UDR0 = c;
}

static void put_digit(uint8_t digit)
{
    put((uint8_t)(digit + (digit < 10 ? '0' : 'a' - 10)));
}

int net_get(void *to, unsigned int bytes)
{
    static uint32_t at;
    uint8_t *p = to;

    if (at == 0) {
        at = pgm_get_far_address(samples);
    }
    if (at == pgm_get_far_address(samples_end)) {
        cli();
        sleep_enable();
        sleep_cpu();
        return 0;
    }
    while (bytes-- > 0) {
        *p++ = pgm_read_byte_far(at++);
    }
    return 1;
}

/* :00112233; a line for each 16 bytes, which the emulator prints at its end. */
void net_put(const void *from, unsigned int bytes)
{
    const uint8_t *p = from;

    while (bytes > 0) {
        uint8_t i;

        put(':');
        for (i = 0; i < 16 && bytes > 0; i++, bytes--) {
            put_digit(*p >> 4);
            put_digit(*p++ & 15);
        }
        put(';');
        put('\n');
    }
}
