/* Tokens for tests: SoftHSM's folder, its tool run as a child, the shim's switches. */
#include "tests/integration/hsm/fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <p11-kit/p11-kit.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/random.h"

extern char **environ;

static char folder[64], conf[96], shim_path[4096], shim_log[96];
static const char *module;

static void skip_all(const char *why)
{
    if (getenv("CI"))
        printf("not ok 1 - %s\n1..1\n", why);
    else
        printf("1..0 # SKIP %s\n", why);
    exit(getenv("CI") ? 1 : 0);
}

/* Runs a program with its output kept away from the TAP stream; 0 when it succeeded. */
static int run(const char *const arguments[])
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;
    char *copy[16] = {NULL};
    for (size_t i = 0; arguments[i] && i < 15; i++)
        memcpy(&copy[i], &arguments[i], sizeof copy[i]);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, copy[0], &actions, NULL, copy, environ) == 0)
        waitpid(pid, &status, 0);
    posix_spawn_file_actions_destroy(&actions);
    return status;
}

static void find_softhsm(void)
{
    static const char *const places[] = {"/usr/lib/softhsm/libsofthsm2.so",
                                         "/usr/lib64/pkcs11/libsofthsm2.so",
                                         "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                                         "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"};
    for (size_t i = 0; i < sizeof places / sizeof places[0] && !module; i++)
        if (access(places[i], R_OK) == 0)
            module = places[i];
    if (!module)
        skip_all("libsofthsm2.so is missing");
    if (run((const char *[]){"softhsm2-util", "--version", NULL}) != 0)
        skip_all("softhsm2-util is missing");
}

static void write_conf(const char *tokens)
{
    FILE *file = fopen(conf, "w");
    if (!file)
        skip_all("no temporary folder");
    fprintf(file, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens);
    fclose(file);
    setenv("SOFTHSM2_CONF", conf, 1);
}

void fixture_start(const char *argv1)
{
    char tokens[96];
    find_softhsm();
    if (!argv1 || !realpath(argv1, shim_path))
        skip_all("the shim is missing");
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/plantcert-hsm.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(folder))
        skip_all("no temporary folder");
    snprintf(conf, sizeof conf, "%s/softhsm2.conf", folder);
    snprintf(tokens, sizeof tokens, "%s/tokens", folder);
    snprintf(shim_log, sizeof shim_log, "%s/calls", folder);
    if (mkdir(tokens, 0700) != 0)
        skip_all("no temporary folder");
    write_conf(tokens);
    setenv("SHIM_MODULE", module, 1);
    shim_reset();
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void fixture_apart(void)
{
    char tokens[96], copy[96];
    snprintf(tokens, sizeof tokens, "%s/tokens", folder);
    snprintf(copy, sizeof copy, "%s/tokens.%d", folder, (int)getpid());
    assert_int_equal(run((const char *[]){"cp", "-a", tokens, copy, NULL}), 0);
    snprintf(conf, sizeof conf, "%s/softhsm2.conf.%d", folder, (int)getpid());
    snprintf(shim_log, sizeof shim_log, "%s/calls.%d", folder, (int)getpid());
    write_conf(copy);
    setenv("SHIM_LOG", shim_log, 1);
}

void fixture_end(void)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fixture_folder(void)
{
    return folder;
}

const char *fixture_module(void)
{
    return module;
}

const char *fixture_shim(void)
{
    return shim_path;
}

/* SoftHSM chooses the serial number: the new one is that which was not listed under this label before. */
static size_t serials_with(const char *label, char serials[][17], size_t room)
{
    size_t count = 0;
    char line[256], serial[17] = "";
    FILE *pipe = popen("softhsm2-util --show-slots", "r");
    while (pipe && fgets(line, sizeof line, pipe)) {
        char value[64];
        if (sscanf(line, " Serial number: %16s", serial) == 1)
            continue;
        if (sscanf(line, " Label: %32[^\n]", value) != 1)
            continue;
        for (size_t len = strlen(value); len > 0 && value[len - 1] == ' '; len--)
            value[len - 1] = '\0';
        if (strcmp(value, label) == 0 && count < room)
            memcpy(serials[count++], serial, sizeof serial);
    }
    if (pipe)
        pclose(pipe);
    return count;
}

void fixture_token(const char *label, char *ret_serial)
{
    char before[8][17], after[8][17];
    size_t had = ret_serial ? serials_with(label, before, 8) : 0;
    const char *const arguments[] = {
        "softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN, NULL};
    assert_int_equal(run(arguments), 0);
    if (!ret_serial)
        return;
    size_t has = serials_with(label, after, 8);
    for (size_t i = 0; i < has; i++) {
        size_t j = 0;
        while (j < had && strcmp(before[j], after[i]) != 0)
            j++;
        if (j == had)
            memcpy(ret_serial, after[i], 17);
    }
}

void fixture_import(const char *serial, const char *label, const struct hsm_id *id)
{
    char file[96], hex[2 * sizeof id->octets + 1];
    pc_hex(id->octets, id->len, hex);
    snprintf(file, sizeof file, "%s/import.pem", folder);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *out = fopen(file, "w");
    assert_true(key && out && PEM_write_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
    fclose(out);
    EVP_PKEY_free(key);
    const char *const arguments[] = {
        "softhsm2-util", "--import", file,    "--serial", serial,    "--label", label,
        "--id",          hex,        "--pin", PIN,        "--force", NULL};
    assert_int_equal(run(arguments), 0);
    unlink(file);
}

/* LeakSanitizer's own, where the program is linked with it. */
__attribute__((weak)) void __lsan_disable(void);
__attribute__((weak)) void __lsan_enable(void);

/* Off: what is allocated from now on is left out of LeakSanitizer's check. For leaks that are not ours. */
static void leak_check(bool on)
{
    void (*wanted)(void) = on ? __lsan_enable : __lsan_disable;
    if (wanted)
        wanted();
}

void fixture_raw(const char *serial, fixture_raw_body *body, void *argument)
{
    CK_FUNCTION_LIST *functions =
        p11_kit_module_load(module, P11_KIT_MODULE_UNMANAGED | P11_KIT_MODULE_CRITICAL);
    assert_non_null(functions);
    assert_int_equal(functions->C_Initialize(NULL), CKR_OK);
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
    unsigned char pin[] = PIN;
    assert_int_equal(functions->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        assert_int_equal(functions->C_GetTokenInfo(slots[i], &info), CKR_OK);
        if (memcmp(info.serialNumber, serial, 16) == 0)
            assert_int_equal(
                functions->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
                CKR_OK);
    }
    assert_int_equal(functions->C_Login(session, CKU_USER, pin, sizeof pin - 1), CKR_OK);
    leak_check(false); /* SoftHSM 2.6.1 loses a name when it makes an Edwards key */
    body(functions, session, argument);
    leak_check(true);
    assert_int_equal(functions->C_Finalize(NULL), CKR_OK);
    p11_kit_module_release(functions);
}

void shim_reset(void)
{
    static const char *const variables[] = {
        "SHIM_FAIL",       "SHIM_GONE",      "SHIM_KILL",     "SHIM_HANG",      "SHIM_DELAY",
        "SHIM_WRONG",      "SHIM_PIN_TRIES", "SHIM_SESSIONS", "SHIM_FLAGS_SET", "SHIM_FLAGS_CLEAR",
        "SHIM_ATTRIBUTES", "SHIM_LABEL",     "SHIM_SLOTS",
    };
    static unsigned runs;
    char run_text[16];
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    snprintf(run_text, sizeof run_text, "%u", runs++);
    setenv("SHIM_RUN", run_text, 1);
    setenv("SHIM_LOG", shim_log, 1);
    unlink(shim_log);
}

void shim_tell(const char *variable, const char *value)
{
    setenv(variable, value, 1);
}

size_t shim_calls(const char *function)
{
    char line[64];
    size_t count = 0, len = strlen(function);
    FILE *log = fopen(shim_log, "r");
    while (log && fgets(line, sizeof line, log))
        if (strncmp(line, function, len) == 0 && line[len] == ' ')
            count++;
    if (log)
        fclose(log);
    return count;
}

struct hsm_token *open_serial(const char *serial)
{
    struct hsm_place place = {.module = shim_path, .serial = serial};
    struct hsm_token *token = NULL;
    assert_ok(hsm_token_open(&place, &token));
    return token;
}

struct hsm_token *open_logged_in(const char *serial)
{
    struct hsm_token *token = open_serial(serial);
    pc_autosecret *pin = secret_of(PIN);
    assert_ok(hsm_token_login(token, pin));
    return token;
}

struct pc_secret *secret_of(const char *text)
{
    struct pc_secret *secret = NULL;
    assert_ok(pc_secret_new(strlen(text), &secret));
    memcpy(secret->data, text, strlen(text));
    return secret;
}

struct hsm_id id_of(const char *text)
{
    struct hsm_id id = {.len = strlen(text)};
    memcpy(id.octets, text, id.len);
    return id;
}

struct hsm_id id_random(void)
{
    struct hsm_id id = {.len = HSM_ID_LEN};
    assert_ok(pc_random(id.octets, id.len));
    return id;
}

void assert_succeeded(int r, const char *what)
{
    if (r != 0)
        fail_msg("%s: %d, %s: %s", what, r, pc_error_name(), pc_error_text());
}

void assert_failed(int r, int code, const char *name, const char *words)
{
    if (r == code && pc_error_code() == code && (!*name || strcmp(name, pc_error_name()) == 0) &&
        strstr(pc_error_text(), words))
        return;
    fail_msg("wanted %d '%s' with '%s', got %d '%s': %s", code, name, words, r, pc_error_name(),
             pc_error_text());
}

struct hsm_key *key_make(struct hsm_token *token, enum pki_key_type type, const char *label,
                         const struct hsm_id *id)
{
    struct hsm_key *key = NULL;
    assert_ok(hsm_key_generate(token, type, label, id, &key));
    return key;
}

struct hsm_key *key_find(struct hsm_token *token, const struct hsm_id *id)
{
    struct hsm_key *key = NULL;
    assert_ok(hsm_key_find(token, id, &key));
    return key;
}

bool key_signs_for(EVP_PKEY *signer, EVP_PKEY *public_key)
{
    unsigned char signature[1024], text[] = "to be signed";
    size_t len = sizeof signature;
    EVP_MD_CTX *sign = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, signer), 1);
    bool signed_ = EVP_DigestSign(sign, signature, &len, text, sizeof text) == 1;
    assert_int_equal(EVP_DigestVerifyInit(verify, NULL, EVP_sha256(), NULL, public_key), 1);
    bool verified = signed_ && EVP_DigestVerify(verify, signature, len, text, sizeof text) == 1;
    EVP_MD_CTX_free(sign);
    EVP_MD_CTX_free(verify);
    return verified;
}

size_t key_count(struct hsm_token *token, const char *label)
{
    size_t count = 99;
    assert_ok(hsm_key_count(token, label, &count, NULL));
    return count;
}
