/* The station's own certificate and key where the configuration names files of them: read by the master,
 * judged before a client sees them. */
#include "src/cmd/plantca/serve/serve.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/time.h"
#include "src/pki/bundle.h"
#include "src/pki/certificate.h"

#define CHAIN_MAX (64 * 1024) /* bytes of a file */
#define KEY_MAX (16 * 1024)
#define SOON (7 * PC_DAY) /* a warning from here to its end */

typedef STACK_OF(X509) chain_stack;
PC_DEFINE_CLEANUP(chain_stack, pki_certificates_free);
PC_DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
PC_DEFINE_CLEANUP(BIO, BIO_free);

/* Judged once open, so that it is the file that is read. */
static int open_key(const char *path, int *ret)
{
    pc_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0)
        return pc_fail_errno(PC_EUSAGE, "[station] key: %s", path);
    if (!S_ISREG(status.st_mode))
        return pc_fail(PC_EUSAGE, "[station] key: %s is no regular file", path);
    if (status.st_mode & (S_IRWXO | S_IWGRP))
        return pc_fail(PC_EUSAGE,
                       "[station] key: %s has mode %04o: others may read it or its group write it; 0600 or "
                       "0640 is right",
                       path, (unsigned)(status.st_mode & 07777));
    *ret = fd;
    fd = -1;
    return 0;
}

static int read_key(const char *path, EVP_PKEY **ret)
{
    pc_autoclose int fd = -1;
    pc_autosecret *text = NULL;
    size_t len = 0;
    ssize_t n = 0;
    int rc = open_key(path, &fd);

    if (rc == 0)
        rc = pc_secret_new(KEY_MAX, &text);
    if (rc != 0)
        return rc;
    while (len < KEY_MAX && (n = read(fd, text->data + len, KEY_MAX - len)) > 0)
        len += (size_t)n;
    if (n < 0 || len == KEY_MAX)
        return pc_fail(PC_EUSAGE, "[station] key: %s cannot be read, or is longer than %d bytes", path,
                       KEY_MAX - 1);
    PC_CLEANUP(BIO_free_ref) BIO *bio = BIO_new_mem_buf(text->data, (int)len);
    static char none[] = ""; /* nobody is asked for a passphrase */
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, none) : NULL;
    if (key == NULL)
        return pc_fail_openssl(PC_EUSAGE, "[station] key: %s holds no private key without passphrase", path);
    *ret = key;
    return 0;
}

static int read_chain(const char *path, chain_stack **ret)
{
    pc_autobytes text = {0};
    int rc = pc_file_read(path, CHAIN_MAX, &text);

    if (rc == 0)
        rc = pki_bundle_certificates(text.data, text.len, ret);
    return rc == 0 ? 0 : pc_fail(PC_EUSAGE, "[station] certificate: %s: %s", path, pc_error_text());
}

static bool names(X509 *leaf, const char *name)
{
    unsigned char address[16];

    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
        return X509_check_ip_asc(leaf, name, 0) == 1;
    return X509_check_host(leaf, name, 0, 0, NULL) == 1;
}

static int check_dates(const X509 *leaf, const char *path)
{
    int64_t from, to, now = pc_now();
    char text[PC_TIME_TEXT];
    int rc = pki_certificate_dates(leaf, &from, &to);

    if (rc != 0)
        return rc;
    pc_time_format(to, text);
    if (to < now)
        return pc_fail(PC_EUSAGE, "[station] certificate: %s ended at %s", path, text);
    if (to < now + SOON)
        pc_log(PC_LOG_WARNING, "[station] certificate: %s ends at %s", path, text);
    pc_time_format(from, text);
    if (from > now)
        pc_log(PC_LOG_WARNING, "[station] certificate: %s is valid only from %s", path, text);
    return 0;
}

static int check(X509 *leaf, EVP_PKEY *key, const char *path, const char *name)
{
    if (X509_check_private_key(leaf, key) != 1) {
        ERR_clear_error();
        return pc_fail(PC_EUSAGE, "[station] key: is not the key of the certificate in %s", path);
    }
    if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1)
        return pc_fail(PC_EUSAGE, "[station] certificate: %s is for no TLS server", path);
    if (!names(leaf, name))
        return pc_fail(PC_EUSAGE, "[station] certificate: %s does not name '%s' ([station] name)", path,
                       name);
    return check_dates(leaf, path);
}

int serve_certificate_read(const struct pc_config *config, chain_stack **ret_chain, EVP_PKEY **ret_key)
{
    const char *path = pc_config_get(config, "station", "certificate"),
               *key_path = pc_config_get(config, "station", "key");
    PC_CLEANUP(pki_certificates_free_ref) chain_stack *chain = NULL;
    PC_CLEANUP(EVP_PKEY_free_ref) EVP_PKEY *key = NULL;

    if ((path == NULL) != (key_path == NULL))
        return pc_fail(PC_EUSAGE, "[station] %s without %s: both or neither",
                       path != NULL ? "certificate" : "key", path != NULL ? "key" : "certificate");
    if (path != NULL) {
        int rc = read_chain(path, &chain);
        if (rc == 0)
            rc = read_key(key_path, &key);
        if (rc == 0)
            rc = check(sk_X509_value(chain, 0), key, path, pc_config_get(config, "station", "name"));
        if (rc != 0)
            return rc;
    }
    *ret_chain = pc_steal(chain);
    *ret_key = pc_steal(key);
    return 0;
}
