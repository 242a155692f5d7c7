/* How plantca watch looks: a head, what waits for a decision, what happened, and what keys do. All text from
 * the ledger is written as printable ASCII. */
#include <ncurses.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/error.h"
#include "src/base/time.h"
#include "src/cmd/plantca/watch.h"

enum colour { PLAIN, GREEN, RED, YELLOW, CYAN };

int screen_open(void)
{
    const char *name = getenv("TERM");
    SCREEN *screen = name != NULL && *name != '\0' ? newterm(NULL, stdout, stdin) : NULL;

    if (screen == NULL)
        return pc_fail(PC_EUSAGE, "the terminal '%.40s' is not known here; try plantca pending",
                       name != NULL ? name : "");
    set_term(screen);
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(GREEN, COLOR_GREEN, -1);
        init_pair(RED, COLOR_RED, -1);
        init_pair(YELLOW, COLOR_YELLOW, -1);
        init_pair(CYAN, COLOR_CYAN, -1);
    }
    return 0;
}

void screen_close(void)
{
    curs_set(1);
    endwin();
}

static attr_t paint(enum colour colour)
{
    return colour != PLAIN && has_colors() ? (attr_t)COLOR_PAIR(colour) : 0;
}

/* At most what the line has room for, and nothing outside the screen. */
__attribute__((format(printf, 4, 5))) static void put(int y, int x, attr_t look, const char *format, ...)
{
    char text[512];
    va_list args;

    if (y < 0 || y >= LINES || x < 0 || x >= COLS)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    attron(look);
    mvaddnstr(y, x, text, COLS - x);
    attroff(look);
}

static void rule(int y, const char *title, enum colour colour)
{
    mvhline(y, 0, '-', COLS);
    put(y, 2, A_BOLD | paint(colour), " %s ", title);
}

/* "21:03:07" of today, else the day. */
static const char *clock_of(int64_t seconds, int64_t now, char ret[16])
{
    char text[PC_TIME_TEXT];

    pc_time_format(seconds, text);
    if (now - seconds < PC_DAY && now - seconds > -PC_DAY)
        snprintf(ret, 16, "%.8s", text + 11);
    else
        snprintf(ret, 16, "%.8s", text + 2);
    return ret;
}

static const char *since(int64_t seconds, char ret[16])
{
    if (seconds < 60)
        snprintf(ret, 16, "%llds", (long long)(seconds < 0 ? 0 : seconds));
    else if (seconds < 3600)
        snprintf(ret, 16, "%lldm", (long long)seconds / 60);
    else if (seconds < PC_DAY)
        snprintf(ret, 16, "%lldh", (long long)seconds / 3600);
    else
        snprintf(ret, 16, "%lldd", (long long)(seconds / PC_DAY));
    return ret;
}

/* Certificates in the last minute. */
static size_t rate(const struct watch *w, int64_t now)
{
    size_t count = 0, kept = w->event_count < WATCH_EVENTS ? w->event_count : WATCH_EVENTS;

    for (size_t i = 0; i < kept; i++)
        count += w->events[i].kind == WATCH_DONE && w->events[i].event.time > now - 60;
    return count;
}

static void draw_head(const struct watch *w, int64_t now)
{
    char text[PC_TIME_TEXT], left[128];

    pc_time_format(now, text);
    snprintf(left, sizeof left, " issued %zu   refused %zu   waiting %zu   %zu/min", w->issued, w->refused,
             w->waiting_count, rate(w, now));
    attron(A_REVERSE);
    mvhline(0, 0, ' ', COLS);
    attroff(A_REVERSE);
    put(0, 0, A_REVERSE | A_BOLD, " plantca watch ");
    put(0, 15, A_REVERSE, "%s", left);
    if (COLS >= 79)
        put(0, COLS - 13, A_REVERSE, "%.8s UTC ", text + 11);
}

static void draw_waiting(const struct watch *w, int top, int rows, int64_t now)
{
    char title[64], ago[16];
    size_t place = watch_place(w), from = 0, shown = rows > 1 ? (size_t)(rows - 1) : 0;
    bool wide = COLS >= 150;

    snprintf(title, sizeof title, "WAITING FOR YOUR DECISION: %zu", w->waiting_count);
    rule(top, title, w->waiting_count > 0 ? YELLOW : PLAIN);
    if (w->waiting_count == 0) {
        put(top + 1, 2, A_DIM, "Nothing waits.");
        return;
    }
    put(top + 1, 0, A_DIM, "   %-36s  %-*s %-5s %s", "PLANT", wide ? 64 : 16, "KEY, SHA-256", "SINCE",
        "FROM");
    if (place >= shown)
        from = place - shown + 1;
    for (size_t i = 0; i < shown && from + i < w->waiting_count; i++) {
        const struct ca_waiting *row = &w->waiting[from + i];
        bool chosen = row->id == w->chosen;
        put(top + 2 + (int)i, 0, chosen ? A_REVERSE : paint(YELLOW), " %c %-36s  %.*s %-5s %-14s",
            chosen ? '>' : ' ', row->plant, wide ? 64 : 16, row->key_sha256, since(now - row->first_at, ago),
            row->from);
    }
}

static const enum colour colours[] = {
    [WATCH_DONE] = GREEN, [WATCH_REFUSED] = RED, [WATCH_CAME] = YELLOW, [WATCH_DECIDED] = CYAN};

/* Why, or of what: the rule of a refusal, where it came from, the certificate's number. */
static void draw_event(int y, const struct watch_event *e, int64_t now)
{
    char at[16];
    /* What was done to a certificate is told by its number, else by the key. */
    const char *serial = e->event.serial, *key = serial[0] != '\0' ? serial : e->event.key_sha256;
    int wide = COLS >= 120;

    put(y, 1, 0, "%s", clock_of(e->event.time, now, at));
    put(y, 11, (e->kind == WATCH_REFUSED ? A_BOLD : 0) | paint(colours[e->kind]), "%-9s", e->word);
    put(y, 21, 0, "%-36.36s", e->event.plant[0] != '\0' ? e->event.plant : "-");
    if (e->kind == WATCH_REFUSED)
        put(y, 59, paint(RED), "%s%s%s", e->event.rule, e->event.address[0] != '\0' ? " from " : "",
            e->event.address);
    else if (e->kind == WATCH_DONE)
        put(y, 59, 0, "%.*s", wide ? 40 : 16, serial);
    else if (e->event.address[0] != '\0')
        put(y, 59, 0, "%.*s%s%s", wide ? 16 : 0, key, wide ? " from " : "", e->event.address);
    else if (e->kind == WATCH_DECIDED)
        put(y, 59, 0, "%.*s%sby %s", wide ? 16 : 8, key, key[0] != '\0' ? " " : "", e->event.user);
    else
        put(y, 59, 0, "%.16s", key);
}

static void draw_events(const struct watch *w, int top, int bottom, int64_t now)
{
    rule(top, "LATELY, NEWEST FIRST", PLAIN);
    if (w->event_count == 0)
        put(top + 1, 2, A_DIM, "Nothing yet.");
    for (size_t i = 0; i < w->event_count && i < WATCH_EVENTS && top + 1 + (int)i < bottom; i++)
        draw_event(top + 1 + (int)i, &w->events[(w->event_count - 1 - i) % WATCH_EVENTS], now);
}

/* The message goes on over a second line where one is too short. */
static int message_rows(const struct watch *w)
{
    return w->message[0] == '\0' ? 0 : COLS > 2 && strlen(w->message) > (size_t)(COLS - 2) ? 2 : 1;
}

static void draw_foot(const struct watch *w)
{
    attr_t look = A_BOLD | paint(w->alarm ? RED : GREEN);
    int first = LINES - 1 - message_rows(w);

    if (COLS > 2 && message_rows(w) > 1)
        put(first + 1, 1, look, "%s", w->message + COLS - 2);
    if (message_rows(w) > 0)
        put(first, 1, look, "%.*s", COLS > 2 ? COLS - 2 : 1, w->message);
    put(LINES - 1, 1, 0, "%s",
        w->waiting_count > 0 ? "q quit   Up/Down choose   a approve   d deny" : "q quit");
}

/* The whole fingerprint, in groups that two people can read to each other. */
static void draw_fingerprint(int y, int x, const char *hex)
{
    for (int i = 0; i < 64; i += 4)
        put(y + i / 32, x + i % 32 / 4 * 5, A_BOLD, "%.4s", hex + i);
}

#define BOX_ROWS 12
#define BOX_COLUMNS 60

/* False: there is no room for all of it, and it is not put. */
static bool draw_question(const struct watch *w)
{
    int top = LINES > 16 ? (LINES - BOX_ROWS) / 2 : 1, x = COLS > 64 ? (COLS - BOX_COLUMNS) / 2 : 1;
    enum colour colour = w->asking == 'a' ? GREEN : RED;

    if (top + BOX_ROWS > LINES || x + BOX_COLUMNS > COLS) {
        erase();
        put(0, 0, A_BOLD | paint(RED), "The terminal is too small");
        put(1, 0, 0, "for the question: %dx%d", BOX_COLUMNS + 1, BOX_ROWS + 1);
        return false;
    }
    for (int y = top; y < top + BOX_ROWS; y++)
        mvhline(y, x, ' ', BOX_COLUMNS);
    mvhline(top, x, '-', BOX_COLUMNS);
    mvhline(top + BOX_ROWS - 1, x, '-', BOX_COLUMNS);
    put(top, x + 2, A_BOLD | paint(colour), " %s THIS KEY? ", w->asking == 'a' ? "APPROVE" : "DENY");
    put(top + 2, x + 2, 0, "Plant  %s", w->asked.plant);
    put(top + 3, x + 2, 0, "From   %s   (%s)", w->asked.from, w->asked.key_type);
    draw_fingerprint(top + 5, x + 9, w->asked.key_sha256);
    put(top + 5, x + 2, 0, "Key");
    put(top + 8, x + 2, 0, "%s",
        w->asking == 'a' ? "Is this the fingerprint that the PLC itself shows?"
                         : "It is refused from then on. Other keys go on waiting.");
    put(top + 10, x + 2, A_BOLD, "y  yes, %s it      any other key  no",
        w->asking == 'a' ? "approve" : "deny");
    return true;
}

bool screen_draw(const struct watch *w)
{
    bool whole = true;
    int64_t now = pc_now();
    int most = (LINES - 5) / 2, rows = (int)(w->waiting_count < 64 ? w->waiting_count : 64) + 1;

    if (rows > most)
        rows = most;
    if (rows < 1)
        rows = 1;
    erase();
    draw_head(w, now);
    draw_waiting(w, 1, rows, now);
    draw_events(w, rows + 3, LINES - 1 - (message_rows(w) > 1 ? 2 : 1), now);
    draw_foot(w);
    if (w->asking)
        whole = draw_question(w);
    refresh();
    return whole;
}
