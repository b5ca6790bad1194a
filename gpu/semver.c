#include "gpu/semver.h"

#include <errno.h>

/* One number off the front, without leading zeros. Semver numbers fit 64 bits: 19 digits do. */
static int semver_number(struct sv *rest, struct sv *number)
{
	size_t n, zeros;

	for (n = 0; n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9'; n++)
		;
	if (n == 0)
		return -EINVAL;
	for (zeros = 0; zeros + 1 < n && rest->p[zeros] == '0'; zeros++)
		;
	if (n - zeros > 19)
		return -EINVAL;
	*number = sv_make(rest->p + zeros, n - zeros);
	*rest = sv_drop(*rest, n);
	return 0;
}

int semver_normalise(struct sv text, char out[SEMVER_TEXT_MAX + 1])
{
	struct sv part[3] = { SV("0"), SV("0"), SV("0") };
	struct sv rest = sv_trim(text);
	size_t i;
	int n;

	out[0] = '\0';
	for (i = 0; i < 3; i++) {
		if (semver_number(&rest, &part[i]) < 0)
			return -EINVAL;
		if (rest.n == 0 || rest.p[0] != '.')
			break;
		rest = sv_drop(rest, 1);
	}
	if (i < 3 && rest.n && rest.p[0] != '-' && rest.p[0] != '+' && rest.p[0] != ' ')
		return -EINVAL;
	n = snprintf(out, SEMVER_TEXT_MAX + 1, SV_FMT "." SV_FMT "." SV_FMT, SV_ARG(part[0]),
		     SV_ARG(part[1]), SV_ARG(part[2]));
	must(n > 0 && n <= SEMVER_TEXT_MAX);
	return 0;
}
