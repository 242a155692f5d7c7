/* SoftHSM and the shim for the tests of hsm/: a folder with tokens of the test's own, made and removed here.
 */
#ifndef TESTS_HSM_FIXTURE_H
#define TESTS_HSM_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <p11-kit/pkcs11.h>

#include "hsm/key.h"
#include "hsm/token.h"
#include "src/base/memory.h"

#define PIN "1234-user"
#define SO_PIN "1234-so-pin"

/* Makes the folder, with no token in it, and points SOFTHSM2_CONF at it. Ends the program with a TAP skip (in
 * CI: a failure) where SoftHSM is not installed. `argv1` is the shim's path. */
void fixture_start(const char *argv1);
void fixture_end(void);
/* For a child process: a copy of all tokens, and a log, of its own. */
void fixture_apart(void);
const char *fixture_folder(void);
const char *fixture_module(void); /* SoftHSM itself */
const char *fixture_shim(void);   /* the shim before it */

/* softhsm2-util --init-token; `ret_serial` has room for 17 bytes and may be NULL. */
void fixture_token(const char *label, char *ret_serial);
/* softhsm2-util --import of a fresh EC key, even if the id is taken: a key that was not made in the token. */
void fixture_import(const char *serial, const char *label, const struct hsm_id *id);

/* Does `body` in a session that is logged in and may write, with SoftHSM itself: for what hsm/ would never
 * do. No token may be open. */
typedef void fixture_raw_body(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session, void *argument);
void fixture_raw(const char *serial, fixture_raw_body *body, void *argument);

/* Clears what the shim was told, and its log. */
void shim_reset(void);
void shim_tell(const char *variable, const char *value);
size_t shim_calls(const char *function); /* since shim_reset() */

/* Opens through the shim and logs in; all must succeed. */
struct hsm_token *open_serial(const char *serial);
struct hsm_token *open_logged_in(const char *serial);
struct pc_secret *secret_of(const char *text);
struct hsm_id id_of(const char *text);
struct hsm_id id_random(void);

/* Keys, all of which must succeed. */
struct hsm_key *key_make(struct hsm_token *token, enum pki_key_type type, const char *label,
                         const struct hsm_id *id);
struct hsm_key *key_find(struct hsm_token *token, const struct hsm_id *id);
size_t key_count(struct hsm_token *token, const char *label);
/* Signs once, and says whether `public_key` verifies it. */
bool key_signs_for(EVP_PKEY *signer, EVP_PKEY *public_key);

/* The call failed with this code, under this name ("" for any), and its text holds `words`. */
void assert_failed(int r, int code, const char *name, const char *words);
#define assert_ok(call) assert_succeeded((call), #call)
void assert_succeeded(int r, const char *what);

#endif
