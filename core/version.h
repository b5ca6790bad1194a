#pragma once
/* Version of the release and identity of the build: tundra and its workers must agree on the
 * latter. */
const char *version_string(void); /* "0.1.0" */
const char *version_build(void);  /* hex, from the sources' version and the build's own id */
