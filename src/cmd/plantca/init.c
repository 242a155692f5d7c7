/* plantca init and ensure: an authority where there is none, once or at every boot. */
#include "src/cmd/plantca/plantca.h"

#include "src/cmd/output.h"

#define CA_SUMMARY PC_CLEANUP(ca_summary_clear) struct ca_summary

static void tell(struct cmd *cmd, const struct ca_summary *summary)
{
    plantca_summary_set(cmd, summary);
    if (!summary->made)
        return;
    cmd_say(cmd,
            "The certificate authority is made; its key was generated inside the token and stays there.\n");
    plantca_summary_say(cmd, summary);
    cmd_say(cmd,
            "Next: plantca broker --new-key broker.key -o broker.crt\n"
            "      plantca sign --plant UUID plc.csr -o device.crt\n"
            "      or over the network: plantca serve --single, and plantca allow --plant UUID --code\n");
}

int plantca_run_init(struct cmd *cmd)
{
    CA_SUMMARY summary = {0};
    struct ca_settings settings;
    int rc = plantca_read_settings(cmd, &settings);

    if (rc == 0)
        rc = ca_init(&settings, &summary);
    if (rc == 0)
        tell(cmd, &summary);
    return rc;
}

int plantca_run_ensure(struct cmd *cmd)
{
    CA_SUMMARY summary = {0};
    struct ca_settings settings;
    int rc = plantca_read_settings(cmd, &settings);

    if (rc == 0)
        rc = ca_ensure(&settings, &summary);
    if (rc == 0)
        tell(cmd, &summary);
    return rc;
}
