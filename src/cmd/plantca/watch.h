/* What plantca watch knows and what it shows of it. */
#ifndef CMD_PLANTCA_WATCH_H
#define CMD_PLANTCA_WATCH_H

#include "src/ca/admission.h"
#include "src/ca/news.h"

#define WATCH_EVENTS 500 /* of the latest, kept */

enum watch_kind { WATCH_DONE, WATCH_REFUSED, WATCH_CAME, WATCH_DECIDED };
struct watch_event {
    enum watch_kind kind;
    const char *word; /* "issued" */
    struct ca_event event;
};

struct watch {
    const char *name; /* of the CA */
    struct ca_waiting *waiting;
    size_t waiting_count, waiting_room;
    int64_t chosen; /* id of the one that the cursor stands on; 0: none */
    char asking;    /* 'a' or 'd': a question about `asked` is on the screen; 0: none */
    struct ca_waiting asked;
    struct watch_event events[WATCH_EVENTS]; /* a ring */
    size_t event_count;                      /* ever */
    size_t issued, refused;                  /* since the start */
    int64_t started;
    char message[256]; /* what became of the last order, or why the ledger cannot be read */
    bool alarm;        /* the message is of a failure */
    bool lost;         /* of reading the ledger: gone when it can be read again */
};

/* The place of the chosen one among those that wait; 0 when it is gone. */
size_t watch_place(const struct watch *w);

/* screen.c: ncurses. PC_EUSAGE when this terminal cannot do it. */
int screen_open(void);
void screen_close(void);
/* False: the question does not fit, so that nobody has read what they would answer. */
bool screen_draw(const struct watch *w);

#endif
