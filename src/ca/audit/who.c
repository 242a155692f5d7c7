/* Who acts, in words for people; the audit line has the same in members of its own. */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/base/memory.h"
#include "src/ca/audit/audit.h"

static void name_of(uid_t uid, char *ret, size_t size)
{
    char buffer[4096];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found)
        snprintf(ret, size, "%s", found->pw_name);
    else
        snprintf(ret, size, "%lu", (unsigned long)uid);
}

/* Whose session it is, whoever they have become since (proc(5): 4294967295 means nobody's). */
static bool login_uid(uid_t *ret)
{
    char text[16];
    pc_autoclose int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (len <= 0)
        return false;
    text[len] = '\0';
    *ret = (uid_t)strtoul(text, NULL, 10);
    return *ret != UINT32_MAX;
}

void audit_who(char ret[160])
{
    char user[48], login[48] = "", host[256] = "";
    uid_t session;
    name_of(getuid(), user, sizeof user);
    if (login_uid(&session) && session != getuid())
        name_of(session, login, sizeof login);
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    snprintf(ret, 160, "%s%s%s%s on %.40s", user, *login ? " (login " : "", login, *login ? ")" : "", host);
}
