/* The doctor's step that asks the station. What it finds wrong is a warning: a PLC with a valid certificate
 * needs no station today. */
#include <string.h>

#include "provision/device/doctor_steps.h"
#include "provision/device/enrol_visit.h"
#include "src/base/error.h"
#include "src/pki/chain.h"
#include "src/pki/openssl.h"

#define TIMEOUT 10 /* seconds; somebody stands beside the PLC and waits */

static void chain_free_ref(STACK_OF(X509) * *chain)
{
    pki_chain_free(*chain);
}

static const struct {
    const char *name, *advice;
} advices[] = {
    {"station-unreachable", "See that the station runs (plantca serve), that the network leads there, and "
                            "that [station] url names it."},
    {"station-certificate", "Compare [station] trust with the CA behind the station's certificate, its name "
                            "with [station] url, and this "
                            "machine's clock with the station's."},
    {"station-trust",
     "Put the CA certificate behind the station's certificate (PEM) where [station] trust names "
     "it, and let root alone write there: nothing is renewed without it."},
};

static int look(struct doctor *doctor, struct dev_visit *visit, bool *ret_ours, int *ret_count)
{
    EVP_PKEY *PC_CLEANUP(EVP_PKEY_free_ref) key = NULL;
    PC_CLEANUP(est_client_close_ref) struct est_client *client = NULL;
    PC_CLEANUP(chain_free_ref) STACK_OF(X509) *offered = NULL;
    /* As a PLC without a certificate, which needs no signature of the TPM. */
    int r = dev_visit_open(doctor->dev, doctor->order->station, DEV_ENROL_FIRST, visit);
    if (r == 0)
        r = dev_visit_connect(visit, TIMEOUT, &key, &client);
    if (r == 0)
        r = est_client_cacerts(client, &offered);
    if (r < 0)
        return r;
    *ret_count = sk_X509_num(offered);
    for (int i = 0; i < sk_X509_num(visit->anchors); i++)
        *ret_ours = *ret_ours || dev_anchors_hold(offered, sk_X509_value(visit->anchors, i));
    return 0;
}

void doctor_station(struct doctor *doctor)
{
    struct dev_visit PC_CLEANUP(dev_visit_close) visit = {0};
    bool ours = false;
    int count = 0, r = look(doctor, &visit, &ours, &count);
    const char *url = doctor->order->station->url;
    if (r < 0) {
        doctor_find(doctor, DEV_WARNING, "%s", pc_error_text());
        for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
            if (strcmp(advices[i].name, pc_error_name()) == 0)
                doctor_advise(doctor, "%s", advices[i].advice);
    } else if (!ours) {
        doctor_find(doctor, DEV_WARNING,
                    "%s is trusted, but none of its %d CA certificates is an anchor of this PLC", url, count);
        doctor_advise(doctor, "It is a station of another CA: correct [station] url, or give the anchor by "
                              "plantcert enroll --ca.");
    } else if (visit.clock_unknown) {
        doctor_find(doctor, DEV_WARNING, "%s answers; but the clock of this machine cannot be right", url);
        doctor_advise(doctor, "Set the clock (timedatectl, NTP).");
    } else {
        doctor_find(doctor, DEV_FINE, "%s answers, is trusted, and has this PLC's CA", url);
    }
}
