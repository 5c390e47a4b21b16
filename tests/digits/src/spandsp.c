/* The peer of the table: spandsp's detector as it comes. 16-bit samples at 8 kHz on stdin; its digits on stdout, and on a second line
 * the processor's seconds that it took. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <spandsp.h>

enum { BLOCK = 160 };

int main(void)
{
    dtmf_rx_state_t *detector = dtmf_rx_init(NULL, NULL, NULL);
    int16_t block[BLOCK];
    char digits[MAX_DTMF_DIGITS + 1];
    size_t count;
    clock_t taken = 0;

    if (detector == NULL)
        return EXIT_FAILURE;
    while ((count = fread(block, sizeof block[0], BLOCK, stdin)) > 0) {
        clock_t begun = clock();
        dtmf_rx(detector, block, (int) count);
        taken += clock() - begun;
        if (dtmf_rx_get(detector, digits, MAX_DTMF_DIGITS) > 0)
            fputs(digits, stdout);
    }
    printf("\n%f\n", (double) taken / CLOCKS_PER_SEC);
    return EXIT_SUCCESS;
}
