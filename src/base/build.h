/* Which build of the program this is. */
#ifndef PC_BUILD_H
#define PC_BUILD_H

#define PC_BUILD_TEXT 65

/* The GNU build id of the running program's file (NT_GNU_BUILD_ID, gABI note of type 3) as lower-case hex;
 * "unknown" when it has none. Static, never NULL. */
const char *pc_build_id(void);

#endif
