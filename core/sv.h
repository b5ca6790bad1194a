#pragma once
/* A view of bytes that someone else owns. Never NUL-terminated by contract. */
#include "core/base.h"

struct sv {
	const char *p;
	size_t n;
};

#define SV(lit)	  ((struct sv){ "" lit, sizeof(lit) - 1 })
#define SV_NONE	  ((struct sv){ NULL, 0 })
#define SV_FMT	  "%.*s"
#define SV_ARG(s) (int)(s).n, (s).p /* for SV_FMT; n must be < INT_MAX */

struct sv sv_str(const char *s); /* NULL gives an empty view */
struct sv sv_make(const void *p, size_t n);
bool sv_eq(struct sv a, struct sv b);
bool sv_eqs(struct sv a, const char *s);
bool sv_ieq(struct sv a, struct sv b); /* ASCII case-insensitive */
int sv_cmp(struct sv a, struct sv b);  /* byte order, shorter first on a tie */
bool sv_starts(struct sv s, struct sv prefix);
bool sv_ends(struct sv s, struct sv suffix);
struct sv sv_trim(struct sv s); /* ASCII white space off both ends */
struct sv sv_drop(struct sv s, size_t n);
/* Splits at the first `sep`: returns what is before it and moves *s behind it (empty if none). */
struct sv sv_cut(struct sv *s, char sep);
ptrdiff_t sv_find(struct sv s, char c); /* index or -1 */
/* Decimal without sign, spaces or leading '+'; the whole view. -EINVAL, -ERANGE. */
int sv_u64(struct sv s, uint64_t *out) NODISCARD;
int sv_i64(struct sv s, int64_t *out) NODISCARD;
/* As Go's strconv.ParseBool: true, True, TRUE, t, T, 1 and their opposites. -EINVAL. */
int sv_bool(struct sv s, bool *out) NODISCARD;
/* Bytes of the valid UTF-8 sequence at the front: 1 to 4; 0 if invalid, cut short or empty. */
size_t sv_utf8(struct sv s);
char *sv_dup(struct sv s); /* NUL-terminated copy, caller frees */
/* Copies at most size-1 bytes and terminates; true if everything fitted. */
bool sv_copy(char *dst, size_t size, struct sv s);
