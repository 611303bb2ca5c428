/* The program that is swept: copies N blocks from input to output, with two defects.
 *
 * That a write failed is not seen; where close fails it aborts.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char block[16];
    int n = argc > 1 ? atoi(argv[1]) : 1;
    int in = open("input", O_RDONLY);
    int out = open("output", O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (in < 0 || out < 0)
        return 1;
    while (n-- > 0) {
        if (read(in, block, sizeof block) != sizeof block)
            return 1;
        if (write(out, block, sizeof block) < 0) {
            /* forgotten */
        }
    }
    if (close(out) < 0)
        abort();
    return 0;
}
