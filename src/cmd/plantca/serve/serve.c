/* plantca serve: the station's network service. The command itself: its options, and what is opened before
 * anything is started. */
#include "src/cmd/plantca/serve/serve.h"

#include "src/base/error.h"
#include "src/base/log.h"
#include "src/cmd/output.h"
#include "src/cmd/plantca/plantca.h"

static struct cmd *teller; /* the log's listener has no context of its own */
static char told_as[32];

/* For who runs for months: nothing is kept for a JSON object at the end. */
static void tell(enum pc_level level, const char *text)
{
    char kind[64];

    if ((level == PC_LOG_NOTICE && teller->quiet) || (level == PC_LOG_DEBUG && !teller->verbose))
        return;
    snprintf(kind, sizeof kind, "%s%s", told_as, level == PC_LOG_WARNING ? "warning: " : "");
    cmd_tell(teller, level, kind, text);
}

void serve_log_as(struct cmd *cmd, const char *role)
{
    teller = cmd;
    snprintf(told_as, sizeof told_as, "%s%s", role, role[0] != '\0' ? ": " : "");
    pc_log_to(tell);
}

int plantca_run_serve(struct cmd *cmd)
{
    static const char *const pin_options[] = {"pin-file", "pin-fd", NULL};
    struct serve_listeners listeners = {.metrics = -1};
    PC_CLEANUP(serve_station_free_ref) struct serve_station *station = NULL;
    int rc = cmd_choose(cmd, true, pin_options);

    if (rc == 0 && !cmd_given(cmd, "single") && (cmd_given(cmd, "pin-file") || cmd_given(cmd, "pin-fd")))
        rc = pc_fail(PC_EUSAGE, "a PIN is the signer's: only with --single, else plantca signer takes it");
    if (rc != 0)
        return rc;
    serve_log_as(cmd, "");
    rc = serve_station_read(cmd, false, &station);
    if (rc == 0)
        rc = serve_listen(station->config, &listeners);
    if (rc == 0)
        rc = serve_master_run(cmd, &listeners, pc_steal(station));
    serve_listeners_close(&listeners);
    return rc;
}
