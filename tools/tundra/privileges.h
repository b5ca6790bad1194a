#pragma once
/*
 * The reactor's privileges: it acts with none (no effective capability, no_new_privs). What its
 * workers need stays permitted, never effective here, since a worker that crashed is started anew
 * from here and takes from it what its role keeps (tools/worker/privileges.c). Files and folders
 * that the reactor writes belong to root, which it stays.
 */
void privileges_drop(void);
