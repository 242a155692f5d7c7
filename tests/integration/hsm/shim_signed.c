/* What the token has signed: a line for each C_Sign that it answered, in the file SHIM_SIGNED. By it a test
 * finds signatures that nobody has a record of. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/hsm/shim.h"

#define SESSIONS_MAX 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    CK_SESSION_HANDLE session;
    char label[64]; /* of the key of its last C_SignInit; "" where the slot is free */
} sessions[SESSIONS_MAX];

void signed_begins(CK_SESSION_HANDLE session, const char *label)
{
    size_t at = 0;
    pthread_mutex_lock(&lock);
    while (at < SESSIONS_MAX && sessions[at].label[0] && sessions[at].session != session)
        at++;
    if (at == SESSIONS_MAX)
        bad_rule("SHIM_SIGNED");
    sessions[at].session = session;
    snprintf(sessions[at].label, sizeof sessions[at].label, "%s", label);
    pthread_mutex_unlock(&lock);
}

/* In one write, so that a line is whole whatever happens to the process. */
void signed_note(CK_SESSION_HANDLE session, const unsigned char *data, CK_ULONG len)
{
    const char *path = getenv("SHIM_SIGNED"), *label = "?";
    char line[1200];
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < SESSIONS_MAX && sessions[i].label[0]; i++)
        if (sessions[i].session == session)
            label = sessions[i].label;
    int at = snprintf(line, sizeof line, "%s ", label);
    pthread_mutex_unlock(&lock);
    for (CK_ULONG i = 0; i < len && at + 4 < (int)sizeof line; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, "%02x", data[i]);
    line[at++] = '\n';
    if (write(fd, line, (size_t)at) != at)
        _exit(SHIM_UNNOTED); /* a fault that was meant for the program has met the test: it must know, also
                                where no word can be written any more */
    close(fd);
}
