/* A PKCS#11 module from its file to C_Initialize. What is in its slots is slot.c's business. */
#include "hsm/module.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <p11-kit/p11-kit.h>

#include "hsm/result.h"
#include "src/base/error.h"

PC_DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free);

/* Modules of some makers have hundreds of megabytes: piece by piece. */
static int hash_file(int fd, const char *path, char ret[65])
{
    PC_CLEANUP(EVP_MD_CTX_free_ref) EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char piece[32768], hash[32];
    ssize_t n;
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "SHA-256");
    while ((n = read(fd, piece, sizeof piece)) > 0)
        if (EVP_DigestUpdate(context, piece, (size_t)n) != 1)
            return pc_fail_openssl(PC_EFAIL, "SHA-256");
    if (n < 0)
        return pc_fail_errno(PC_EUNREACH, "PKCS#11 module %s cannot be read", path);
    if (EVP_DigestFinal_ex(context, hash, NULL) != 1)
        return pc_fail_openssl(PC_EFAIL, "SHA-256");
    pc_hex(hash, sizeof hash, ret);
    return 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int load(struct hsm_token *token)
{
    p11_kit_be_quiet();
    /* Unmanaged, because libp11 loads the same file again: a managed module would have session handles of its
     * own. */
    token->module = p11_kit_module_load(token->path, P11_KIT_MODULE_UNMANAGED | P11_KIT_MODULE_CRITICAL);
    if (token->module)
        return 0;
    const char *reason = p11_kit_message();
    return pc_fail(PC_EUNREACH, "PKCS#11 module %s does not load: %s", token->path,
                   reason ? reason : "no reason given");
}

/* The file is opened before it is loaded by its path, and must be there still when it is: so that what was
 * hashed is what runs. */
static int load_and_hash(struct hsm_token *token)
{
    struct stat before, after;
    pc_autoclose int fd = open(token->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool readable = fd >= 0 && fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    int r = load(token);
    if (r < 0)
        return r;
    if (!readable || stat(token->path, &after) != 0 || !same_file(&before, &after))
        return pc_fail(PC_EUNREACH, "PKCS#11 module %s: its file changed while it was loaded", token->path);
    return hash_file(fd, token->path, token->module_sha256);
}

int hsm_module_load(struct hsm_token *token)
{
    int r = load_and_hash(token);
    if (r < 0)
        return r;
    CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
    CK_RV rv = token->module->C_Initialize(&arguments);
    if (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED)
        return pc_fail(PC_EUNREACH, "PKCS#11 module %s is in use already by this process", token->path);
    if (rv != CKR_OK)
        return hsm_fail(rv, "PKCS#11 module %s does not start", token->path);
    token->initialised = true;
    return 0;
}
