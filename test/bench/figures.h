#pragma once
/*
 * What was measured, one line each on stdout: "name value". Names are the keys of report.py, which
 * knows units, floors, budgets and what upstream's driver needs.
 */
#include "core/base.h"

void figure(double value, const char *name, ...) PRINTF(2, 3);
/* A step of the run, on stderr. */
void progress(const char *text, ...) PRINTF(1, 2);
