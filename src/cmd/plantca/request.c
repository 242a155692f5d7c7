/* Requests as files: read once and bounded; an error that lies in the request names its file. */
#include "src/cmd/plantca/plantca.h"

#include <string.h>

#include "src/base/error.h"
#include "src/base/file.h"
#include "src/pki/request.h"

int plantca_read_request(const char *path, struct pc_bytes *ret)
{
    int rc = pc_file_read(path, PKI_REQUEST_MAX, ret);

    if (rc == PC_EREFUSED && strcmp(pc_error_name(), "file-size") == 0)
        return pc_refuse("request-size", "%s: a request of more than %d bytes", path, PKI_REQUEST_MAX);
    return rc;
}

int plantca_check_input(const struct cmd *cmd, const char *path)
{
    const char *fd = cmd_value(cmd, "pin-fd");

    if (path != NULL && strcmp(path, "-") == 0 && fd != NULL && strcmp(fd, "0") == 0)
        return pc_fail(PC_EUSAGE, "standard input cannot hold both the PIN and a file");
    return 0;
}

int plantca_name_request(int rc, const char *path)
{
    /* Of the judge's names; other names in "key-" are of keys in the token. */
    static const char *const names[] = {"request-",  "identity-",      "key-size",   "key-exponent",
                                        "key-roca",  "key-factor",     "key-fermat", "key-curve",
                                        "key-point", "key-parameters", "key-type"};

    for (size_t i = 0; rc == PC_EREFUSED && i < CMD_LENGTH(names); i++)
        if (strncmp(pc_error_name(), names[i], strlen(names[i])) == 0)
            return pc_fail_in("%s", path);
    return rc;
}
