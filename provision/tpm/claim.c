/* The claim is an abstract socket address (unix(7)): it needs no file, and ends with whoever held it, killed
 * or not. */
#include "provision/tpm/claim.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <openssl/evp.h>

#include "provision/tpm/link.h"
#include "src/base/error.h"
#include "src/base/memory.h"

#define PAUSE_MS 5
#define CLAIM_PREFIX "plantcert-tpm-"

/* A TCTI may be longer than an address: its hash stands for it. */
static int address_of(const char *tcti, struct sockaddr_un *ret, socklen_t *ret_len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t digest_len = 0;
    if (!EVP_Q_digest(NULL, "SHA2-256", "provider=default", tcti, strlen(tcti), digest, &digest_len))
        return pc_fail_openssl(PC_EFAIL, "cannot hash");
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    pc_hex(digest, digest_len, hex);
    memset(ret, 0, sizeof(*ret));
    ret->sun_family = AF_UNIX;
    int len = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, CLAIM_PREFIX "%s", hex);
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    return 0;
}

int tpm_claim(const char *tcti, int64_t deadline, int *ret_fd)
{
    struct sockaddr_un address;
    socklen_t len = 0;
    int result = address_of(tcti, &address, &len);
    if (result < 0)
        return result;
    pc_autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pc_fail_errno(PC_EFAIL, "cannot claim the TPM");
    while (bind(fd, (const struct sockaddr *)&address, len) != 0) {
        if (errno != EADDRINUSE)
            return pc_fail_errno(PC_EFAIL, "cannot claim the TPM");
        if (tpm_link_now() >= deadline)
            return pc_fail_named(PC_EUNREACH, "tpm-busy", "TPM at '%s': another program is using it", tcti);
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}
