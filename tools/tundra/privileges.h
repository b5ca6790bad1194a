#pragma once
/*
 * Drops what the reactor does not need, once its workers run: every capability, and the way to get
 * one back (no_new_privs). Files and folders that it writes belong to root, which it stays. Workers
 * started later inherit that: the host worker then cannot look into other processes and says so.
 */
void privileges_drop(void);
