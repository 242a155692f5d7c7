/* plantca watch: what comes in, and what waits, with keys to approve and deny. The ledger is asked once a
 * second; how it looks is in screen.c. */
#include "src/cmd/plantca/watch.h"

#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/cmd/output.h"
#include "src/cmd/plantca/plantca.h"
#include "src/pki/name.h"

#define BACK 200 /* audit rows that are told at the start */
#define POLL_MS 1000

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = on_signal};

    for (size_t i = 0; i < CMD_LENGTH(numbers); i++)
        sigaction(numbers[i], &action, NULL);
}

/* Acts that people at the station want to see. */
static const struct {
    const char *act, *word;
    enum watch_kind kind;
} words[] = {
    {"issue", "issued", WATCH_DONE},        {"revoke", "revoked", WATCH_DECIDED},
    {"hold", "held", WATCH_DECIDED},        {"release", "released", WATCH_DECIDED},
    {"wait", "waits", WATCH_CAME},          {"bind", "code used", WATCH_CAME},
    {"approve", "approved", WATCH_DECIDED}, {"deny", "denied", WATCH_DECIDED},
    {"allow", "admitted", WATCH_DECIDED},   {"withdraw", "withdrawn", WATCH_DECIDED},
};

static void see_event(void *context, const struct ca_event *event)
{
    struct watch *w = context;
    struct watch_event seen = {.kind = WATCH_REFUSED, .word = "REFUSED", .event = *event};

    if (event->rule[0] == '\0') {
        size_t i = 0;
        while (i < CMD_LENGTH(words) && strcmp(words[i].act, event->act) != 0)
            i++;
        if (i == CMD_LENGTH(words))
            return;
        seen.kind = words[i].kind;
        seen.word = words[i].word;
        /* The CA's own certificates are no work of the station's. */
        if (seen.kind == WATCH_DONE && !pki_uuid_is_canonical(event->plant))
            seen.kind = WATCH_DECIDED;
    }
    w->events[w->event_count++ % WATCH_EVENTS] = seen;
    if (event->time >= w->started) {
        w->issued += seen.kind == WATCH_DONE;
        w->refused += seen.kind == WATCH_REFUSED;
    }
}

static int see_waiting(void *context, const struct ca_waiting *row)
{
    struct watch *w = context;

    if (w->waiting_count == w->waiting_room) {
        size_t room = w->waiting_room != 0 ? 2 * w->waiting_room : 16;
        struct ca_waiting *grown = reallocarray(w->waiting, room, sizeof *grown);
        if (grown == NULL)
            return pc_fail(PC_EFAIL, "out of memory");
        w->waiting = grown;
        w->waiting_room = room;
    }
    w->waiting[w->waiting_count++] = *row;
    return 0;
}

size_t watch_place(const struct watch *w)
{
    for (size_t i = 0; i < w->waiting_count; i++)
        if (w->waiting[i].id == w->chosen)
            return i;
    return 0;
}

/* A failure (another writes, the database is away) is shown, and the next second tries again. */
static void poll_ledger(struct watch *w, struct ca *ca, struct ca_news *news)
{
    size_t place = watch_place(w);

    w->waiting_count = 0;
    int rc = ca_waiting_each(ca, see_waiting, w);
    if (rc == 0)
        rc = ca_news_each(ca, news, see_event, w);
    if (rc != 0) {
        snprintf(w->message, sizeof w->message, "%s", pc_error_text());
        w->alarm = w->lost = true;
    } else if (w->lost) {
        w->message[0] = '\0';
        w->alarm = w->lost = false;
    }
    if (w->waiting_count == 0) {
        w->chosen = 0;
        return;
    }
    for (size_t i = 0; i < w->waiting_count; i++)
        if (w->waiting[i].id == w->chosen)
            return;
    w->chosen = w->waiting[place < w->waiting_count ? place : w->waiting_count - 1].id;
}

static void choose(struct watch *w, int step)
{
    size_t place = watch_place(w);

    if (w->waiting_count == 0)
        return;
    if (step < 0 && place > 0)
        place--;
    else if (step > 0 && place + 1 < w->waiting_count)
        place++;
    w->chosen = w->waiting[place].id;
}

/* The question is put about a copy: what is answered is what was on the screen. */
static void ask(struct watch *w, char what)
{
    if (w->waiting_count == 0)
        return;
    w->asked = w->waiting[watch_place(w)];
    w->asking = what;
}

static void answer(struct watch *w, struct ca *ca, bool yes)
{
    struct ca_waiting decided;
    size_t count = 0;
    char what = w->asking;

    w->asking = 0;
    if (!yes) {
        snprintf(w->message, sizeof w->message, "Nothing was done.");
        return;
    }
    int rc = what == 'a' ? ca_approve(ca, w->asked.plant, w->asked.key_sha256, &decided)
                         : ca_deny(ca, w->asked.plant, w->asked.key_sha256, NULL, &count);
    w->alarm = rc != 0;
    if (rc != 0)
        snprintf(w->message, sizeof w->message, "%s", pc_error_text());
    else
        snprintf(w->message, sizeof w->message, "%s: %s key %.16s", what == 'a' ? "Approved" : "Denied",
                 w->asked.plant, w->asked.key_sha256);
}

/* False: enough. A question that was not wholly on the screen is never answered with yes. */
static bool press(struct watch *w, struct ca *ca, int key, bool whole)
{
    if (key == ERR || key == KEY_RESIZE)
        return true;
    if (w->asking) {
        answer(w, ca, whole && (key == 'y' || key == 'Y'));
        return true;
    }
    w->message[0] = '\0';
    w->alarm = false;
    switch (key) {
    case 'q':
    case 'Q':
        return false;
    case KEY_UP:
    case 'k':
        choose(w, -1);
        return true;
    case KEY_DOWN:
    case 'j':
        choose(w, 1);
        return true;
    case 'a':
    case 'd':
        ask(w, (char)key);
        return true;
    default:
        return true;
    }
}

static int watch(struct watch *w, struct ca *ca, struct ca_news *news)
{
    int rc = screen_open();
    int64_t polled = 0;

    if (rc != 0)
        return rc;
    catch_signals();
    timeout(POLL_MS);
    for (bool on = true; on && caught == 0;) {
        if (pc_now() != polled) {
            polled = pc_now();
            poll_ledger(w, ca, news);
        }
        bool whole = screen_draw(w);
        on = press(w, ca, getch(), whole);
        if (on && !w->asking && w->message[0] != '\0' && !w->alarm)
            polled = 0;
    }
    screen_close();
    return 0;
}

int plantca_run_watch(struct cmd *cmd)
{
    struct ca_settings settings;
    PC_CLEANUP(ca_close_ref) struct ca *ca = NULL;
    PC_CLEANUP(ca_news_free_ref) struct ca_news *news = NULL;
    pc_autofree struct watch *w = calloc(1, sizeof *w);

    if (w == NULL)
        return pc_fail(PC_EFAIL, "out of memory");
    if (cmd->json || isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0)
        return pc_fail(PC_EUSAGE, "needs a terminal; plantca pending and plantca list tell the same to "
                                  "programs");
    int rc = plantca_read_settings(cmd, &settings);
    if (rc == 0)
        rc = ca_open(&settings, &ca);
    if (rc == 0)
        rc = ca_news_new(BACK, &news);
    if (rc != 0)
        return rc;
    w->name = settings.subject;
    w->started = pc_now();
    rc = watch(w, ca, news);
    free(w->waiting);
    if (caught != 0) {
        signal(caught, SIG_DFL);
        raise(caught);
    }
    return rc;
}
