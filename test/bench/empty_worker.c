/* A child of tundra-bench-empty: libc, and nothing to do. */
#include <unistd.h>

int main(void)
{
	for (;;)
		pause();
}
