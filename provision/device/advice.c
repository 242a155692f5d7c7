/* What to do next, by what a status has found: one sentence, with the commands in the order in which they are
 * given. Asks nobody. */
#include <stdio.h>
#include <string.h>

#include "provision/device/status.h"

#define NEW_KEY "Have a key made in the TPM and certified: plantcert rekey, plantca sign, plantcert install."

static bool key_lost(const struct dev_status *status)
{
    return strcmp(status->key_name, "key-absent") == 0 || strcmp(status->key_name, "key-name") == 0;
}

/* The key that clients use is the file device.key. */
static bool plain_key(const struct dev_status *status)
{
    return status->installed && status->plain;
}

static void advise_lost(const struct dev_status *status, char ret[DEV_NEXT_MAX])
{
    if (!status->installed)
        snprintf(ret, DEV_NEXT_MAX, "Start afresh: plantcert request, plantca sign, plantcert install.");
    else if (status->pending_key == DEV_KEY_THERE)
        snprintf(ret, DEV_NEXT_MAX,
                 "Have the new key certified: plantca sign --replace %s, then plantcert install.",
                 status->serial);
    else
        snprintf(ret, DEV_NEXT_MAX,
                 "Start afresh: plantcert request, plantca sign --replace %s, plantcert install.",
                 status->serial);
}

static void advise_waiting(const struct dev_status *status, char ret[DEV_NEXT_MAX])
{
    if (status->adopted)
        snprintf(ret, DEV_NEXT_MAX, "Install the certificate: plantcert install CHAIN.");
    else if (status->pending_key == DEV_KEY_GONE)
        snprintf(ret, DEV_NEXT_MAX,
                 "The TPM does not have the pending key any more; ask with another: plantcert rekey.");
    else if (plain_key(status))
        snprintf(ret, DEV_NEXT_MAX, "Have the new key certified: plantca sign, then plantcert install.");
    else
        snprintf(ret, DEV_NEXT_MAX,
                 "Have the new key certified: plantca sign --replace %s, then plantcert install.",
                 status->serial);
}

static void advise_renewal(const struct dev_status *status, char ret[DEV_NEXT_MAX])
{
    if (plain_key(status))
        snprintf(ret, DEV_NEXT_MAX, NEW_KEY);
    else
        snprintf(ret, DEV_NEXT_MAX,
                 "Renew: plantcert renew, plantca sign --renew, plantcert install; or with a new key: "
                 "plantcert rekey, plantca sign --replace %s, plantcert install.",
                 status->serial);
}

static const char *advise_switched(const struct dev_status *status)
{
    static const char *const ways[] = {
        [DEV_KEY_UNASKED] = ("Prove the new set (plantcert confirm --mqtt HOST:PORT), or go back, if the key "
                             "of before is still in the TPM: plantcert rollback."),
        [DEV_KEY_THERE] =
            "Prove the new set (plantcert confirm --mqtt HOST:PORT), or go back: plantcert rollback.",
        [DEV_KEY_GONE] = "Prove the new set: plantcert confirm --mqtt HOST:PORT.",
    };
    return ways[status->previous_key];
}

static const char *advise_standing(const struct dev_status *status)
{
    if (plain_key(status))
        return NEW_KEY;
    return status->state == DEV_CONFIRMED && status->legacy
               ? "Destroy the old device.key: plantcert forget --legacy."
               : "";
}

static void advise_state(const struct dev_status *status, char ret[DEV_NEXT_MAX])
{
    const char *text = "";
    switch (status->state) {
    case DEV_NONE:
        text = status->plain ? "Ask for a certificate: plantcert request; plantcert install --ca CA CHAIN "
                               "then takes the plain files over."
                             : "Ask for a certificate: plantcert request.";
        break;
    case DEV_KEY_PENDING:
        text = "Ask for a certificate with the pending key: plantcert request.";
        break;
    case DEV_REQUESTED:
        text = status->adopted ? "Install the certificate: plantcert install --ca CA CHAIN."
                               : "Have the request signed (plantca sign), then install the certificate: "
                                 "plantcert install --ca CA CHAIN.";
        break;
    case DEV_DUE:
    case DEV_EXPIRED:
        advise_renewal(status, ret);
        return;
    case DEV_REKEY_PENDING:
        advise_waiting(status, ret);
        return;
    case DEV_SWITCHED:
        text = advise_switched(status);
        break;
    case DEV_ROLLED_BACK:
        text = plain_key(status) ? "Install the newer certificate again, or a better one; or keep the plain "
                                   "files: plantcert confirm --unproven."
                                 : "Install the newer certificate again, or a better one; or keep this one "
                                   "and lose that one's key: plantcert confirm --unproven.";
        break;
    case DEV_DAMAGED:
        text = status->previous[0]
                   ? "Install the certificate again (plantcert install --ca CA CHAIN), go back to the set "
                     "before (plantcert rollback), or have a new key certified: plantcert rekey."
                   : "Install the certificate again (plantcert install --ca CA CHAIN), or have a new key "
                     "certified: plantcert rekey.";
        break;
    case DEV_INSTALLED:
    case DEV_CONFIRMED:
        text = advise_standing(status);
        break;
    case DEV_STATES:
        break;
    }
    snprintf(ret, DEV_NEXT_MAX, "%s", text);
}

/* Where a station does what hands and files do elsewhere; false where it cannot. */
static bool advise_station(const struct dev_status *status, char ret[DEV_NEXT_MAX])
{
    bool none =
        status->state == DEV_NONE || status->state == DEV_KEY_PENDING || status->state == DEV_REQUESTED;
    bool lost = status->installed && key_lost(status);
    const char *text = none && status->plain
                           ? "Ask the station: plantcert enroll, which takes the plain files over."
                       : none                         ? "Ask the station for a certificate: plantcert enroll."
                       : status->state == DEV_DUE     ? "Have it renewed by the station: plantcert enroll."
                       : status->state == DEV_EXPIRED ? "Have it renewed by the station: plantcert enroll."
                       : status->state == DEV_REKEY_PENDING && status->pending_key != DEV_KEY_GONE
                           ? status->due || status->expired
                                 ? "Have the new key certified by the station: plantcert enroll."
                                 : "Have the new key certified by the station: plantcert enroll; where the "
                                   "station refuses before its renewal window, wait until it is due, or give "
                                   "the key up: plantcert forget."
                           : NULL;
    if (!status->station || status->adopted || plain_key(status) || (!text && !lost))
        return false;
    if (lost)
        snprintf(ret, DEV_NEXT_MAX,
                 "Start afresh: at the station, plantca allow --plant %s --replace %s --code; then plantcert "
                 "enroll --anew.",
                 status->cn, status->serial);
    else
        snprintf(ret, DEV_NEXT_MAX, "%s", text);
    return true;
}

static void advise_next(struct dev_status *status)
{
    if (advise_station(status, status->next))
        return;
    if (key_lost(status))
        advise_lost(status, status->next);
    else
        advise_state(status, status->next);
}

void dev_status_advise(struct dev_status *status)
{
    if (status->state == DEV_DAMAGED)
        advise_state(status, status->next);
    else if (key_lost(status))
        advise_next(status);
    else if (status->plant_differs)
        snprintf(status->next, DEV_NEXT_MAX, "%s", DEV_ADVICE_PLANT);
    else if ((status->clock.behind || status->clock.implausible) && !status->expired)
        snprintf(status->next, DEV_NEXT_MAX, "%s",
                 "Set the clock (timedatectl, NTP): no TLS client believes a broker at such a time.");
    else if (status->reload_owed)
        snprintf(status->next, DEV_NEXT_MAX, "%s",
                 "Tell the clients of the set that is in use now: plantcert reload.");
    else
        advise_next(status);
}
