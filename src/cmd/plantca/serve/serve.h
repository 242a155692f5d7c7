/* plantca serve: a master, which opens and watches, and a worker, which serves (provision/station/net). What
 * they share. The master reads configuration, certificate and key, and nothing that a client sends; neither
 * of the two ever opens token, PIN or ledger. */
#ifndef CMD_PLANTCA_SERVE_H
#define CMD_PLANTCA_SERVE_H

#include <sys/types.h>

#include "provision/station/net/net.h"
#include "src/cmd/command.h"

#define SERVE_LISTENERS_MAX 8

/* listen.c: sockets that a service manager has opened (sd_listen_fds(3); the one that is named "metrics", and
 * all others), and those that [station] listen and metrics name, where it has opened none of the kind. They
 * are there before anybody asks for a PIN, and outlive every worker. */
struct serve_listeners {
    int fds[SERVE_LISTENERS_MAX];
    size_t count;
    int metrics;    /* -1: none */
    bool activated; /* `fds` are a service manager's */
};
/* PC_EUSAGE when an address cannot be had, or metrics were to be read from elsewhere than loopback. */
int serve_listen(const struct pc_config *config, struct serve_listeners *ret);
void serve_listeners_close(struct serve_listeners *listeners);
#define SERVE_ADDRESS_TEXT 64
void serve_address(int fd, char ret[SERVE_ADDRESS_TEXT]); /* "127.0.0.1:8443", "[::]:8443" */

/* certificate.c: [station] certificate and key; both NULL where neither is set. PC_EUSAGE when they do not
 * belong together, do not fit `name` or are past their time, or when others may read the key's file. */
int serve_certificate_read(const struct pc_config *config, STACK_OF(X509) * *ret_chain, EVP_PKEY **ret_key);

/* station.c: one reading of the configuration, which is in effect as a whole or not at all. */
struct serve_station {
    struct pc_config *config; /* owned */
    STACK_OF(X509) * chain;   /* owned; NULL: the worker asks the signer for one */
    EVP_PKEY *key;
    bool drop; /* the worker becomes: */
    uid_t uid;
    gid_t gid;
    struct net_settings net; /* but for what the master adds: listeners, and the signer of --single */
};
/* PC_EUSAGE and others with the setting named. Started as root, [station] network-user must exist. Takes
 * cmd->config over at the start, and reads it anew (`again`) after that. */
int serve_station_read(struct cmd *cmd, bool again, struct serve_station **ret);
void serve_station_free(struct serve_station *station);
PC_DEFINE_CLEANUP(struct serve_station, serve_station_free);

/* child.c: a process of ours. */
struct serve_child {
    pid_t pid;      /* 0: none */
    int ready;      /* from which one byte comes when it serves; -1 after that */
    bool serving;   /* it has come */
    int64_t since;  /* when it was started (serve_clock) */
    int64_t due;    /* when the next one is to be; 0: not waited for */
    unsigned delay; /* the last pause, milliseconds */
};
#define SERVE_NO_CHILD                                                                                       \
    {                                                                                                        \
        .ready = -1                                                                                          \
    }
int64_t serve_clock(void); /* milliseconds, monotonic */
/* Forks; `run` is the child's life, and what it returns its exit. It gets SIGTERM when this process is gone,
 * has the signals' masks of a program of its own, and no standard output.
 */
int serve_child_start(struct serve_child *child, int (*run)(void *context, int ready), void *context);
bool serve_child_told(struct serve_child *child);   /* `ready` can be read: whether it serves from now on */
void serve_child_forget(struct serve_child *child); /* it is gone; closes what is left */
/* When the next one may be started: later each time, unless this one has lived long. */
void serve_child_back_off(struct serve_child *child);
/* In the child: what it shall be, for good. */
int serve_leave_stream(int stream); /* /dev/null from here on */
int serve_drop(const struct serve_station *station);
int serve_die_with_master(pid_t master);
void serve_keep(const int *fds, size_t count); /* closes all other descriptors from 3 on */

/* worker.c: the worker's life. */
struct serve_worker {
    struct cmd *cmd;
    const struct serve_station *station;
    const struct serve_listeners *listeners;
    const char *signer; /* path of the signer's socket */
    pid_t master;
};
int serve_worker_run(void *context, int ready);

/* single.c: the signer as a child of the master (--single). Its socket stands in a folder of its own, made
 * for this run; it is there only while a signer is, so that the worker notices when there is none. */
struct serve_signer {
    struct cmd *cmd;
    const struct serve_station *station;
    pid_t master;
    char folder[64], path[96];
    int listener; /* the child's, while it is being started */
};
int serve_signer_prepare(struct serve_signer *signer); /* the folder; PC_EFAIL */
int serve_signer_start(struct serve_signer *signer, struct serve_child *child);
/* Whether a signer that died can be followed by another: not where its PIN was typed or came by --pin-fd. */
bool serve_signer_can_restart(const struct serve_signer *signer);
void serve_signer_remove(struct serve_signer *signer); /* folder and socket */

/* master.c: starts, watches, reloads, until it is told to stop, when it closes the listeners. `station` is
 * taken over. */
int serve_master_run(struct cmd *cmd, struct serve_listeners *listeners, struct serve_station *station);

/* What both children say: one line an event. `role` is a literal ("worker"). */
void serve_log_as(struct cmd *cmd, const char *role);

#endif
