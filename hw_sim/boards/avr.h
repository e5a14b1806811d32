/* Samples from flash, outputs in hexadecimal on the serial port; at the end the processor sleeps for good. */
#ifndef AVR_H
#define AVR_H

/* 1 where all bytes came, 0 at the end. */
int net_get(void *to, unsigned int bytes);
void net_put(const void *from, unsigned int bytes);

#endif
