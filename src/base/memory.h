/* Ownership: the cleanup attributes, plain byte buffers, and the one type for secrets. */
#ifndef PC_MEMORY_H
#define PC_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PC_CLEANUP(function) __attribute__((cleanup(function)))
/* Declares `function_ref`, which a cleanup attribute can call on a `type *`; `function` accepts NULL. */
#define PC_DEFINE_CLEANUP(type, function)                                                                    \
    static inline void function##_ref(type **object)                                                         \
    {                                                                                                        \
        function(*object);                                                                                   \
    }                                                                                                        \
    struct pc_require_semicolon

/* Hands ownership out of a variable that has a cleanup attribute. */
#define pc_steal(pointer)                                                                                    \
    __extension__({                                                                                          \
        __typeof__(pointer) stolen_ = (pointer);                                                             \
        (pointer) = NULL;                                                                                    \
        stolen_;                                                                                             \
    })

void pc_free_ref(void *pointer_to_pointer); /* free(*p); p is the address of any pointer from malloc */
void pc_close_ref(int *fd);                 /* close(*fd) when it is >= 0; errno is kept */
#define pc_autofree PC_CLEANUP(pc_free_ref)
#define pc_autoclose PC_CLEANUP(pc_close_ref)

/* Bytes that are no secret. `data` comes from malloc and is owned by the holder; one NUL stands behind the
 * last byte, not counted in `len`, so that text can be read as a string. An empty buffer is {NULL, 0}. */
struct pc_bytes {
    unsigned char *data;
    size_t len; /* bytes */
};
int pc_bytes_copy(const void *data, size_t len, struct pc_bytes *ret); /* PC_EFAIL when out of memory */
void pc_bytes_clear(struct pc_bytes *bytes);                           /* frees and empties */
#define pc_autobytes PC_CLEANUP(pc_bytes_clear) struct pc_bytes

/* A secret (PIN, auth value): its pages are locked where the limits allow it, left out of core dumps, and
 * wiped when freed. `data` holds `len` bytes and one NUL behind them. */
struct pc_secret {
    unsigned char *data;
    size_t len; /* bytes */
};
int pc_secret_new(size_t len, struct pc_secret **ret); /* zeroed, len bytes */
void pc_secret_free(struct pc_secret *secret);         /* wipes; NULL is fine */
PC_DEFINE_CLEANUP(struct pc_secret, pc_secret_free);
#define pc_autosecret PC_CLEANUP(pc_secret_free_ref) struct pc_secret

/* No core dump and no ptrace by other processes of the same user, for the life of this process. */
int pc_process_harden(void);

/* Says that a thread of this process hangs in somebody else's library, which may hang at exit(), too: such a
 * process ends by _exit. */
void pc_process_abandon(void);
bool pc_process_abandoned(void);

/* Lower-case hex of `len` bytes into `ret`, which has room for 2*len+1. */
void pc_hex(const void *data, size_t len, char *ret);
/* The reverse; `ret` has room for strlen(hex)/2 bytes. PC_EUSAGE when odd or not hex. Upper case is accepted.
 */
int pc_unhex(const char *hex, unsigned char *ret, size_t size, size_t *ret_len);

#endif
