/* The signer from its beginning to its end. */
#include "provision/station/signer/signer.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "provision/station/signer/station.h"
#include "src/base/error.h"
#include "src/base/time.h"
#include "src/pki/openssl.h"

#define BREATH 200 /* ms after which signals and whatever is due are looked at again */
#define FLUSH 5000 /* ms that the last answers may take */

static void station_clear(struct station *s)
{
    if (s->opening)
        pthread_join(s->opener, NULL);
    connections_free(s->connections);
    GENERAL_NAMES_free(s->hosts);
    pc_bytes_clear(&s->trust);
    pthread_mutex_destroy(&s->lock);
    pc_close_ref(&s->wake);
}

static int encode(const X509 *certificate, struct pc_bytes *ret)
{
    unsigned char *der = NULL;
    int len = i2d_X509(certificate, &der);
    if (len <= 0)
        return pc_fail_openssl(PC_EFAIL, "the CA certificate");
    int r = pc_bytes_copy(der, (size_t)len, ret);
    OPENSSL_free(der);
    return r;
}

static int station_init(struct station *s)
{
    s->end = &s->first;
    s->counted.started_at = pc_now();
    pthread_mutex_init(&s->lock, NULL);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake < 0)
        return pc_fail_errno(PC_EFAIL, "signer");
    s->hosts = GENERAL_NAMES_new();
    int r = s->hosts ? pki_san_add(s->hosts, s->options->name) : pc_fail(PC_EFAIL, "out of memory");
    if (r == 0)
        r = encode(s->ca->certificate, &s->trust);
    return r < 0 ? r : connections_new(s, &s->connections);
}

static bool is_stopped(const struct station *s)
{
    return s->options->stop && *s->options->stop;
}

static void flush(struct station *s)
{
    int64_t until = pipeline_clock() + FLUSH;
    while (!connections_flushed(s->connections) && pipeline_clock() < until)
        connections_serve(s->connections, BREATH, true);
}

/* What was begun is finished, and told to who asked. */
static int finish(struct station *s)
{
    int r = 0;
    s->stopping = true;
    if (!s->pipeline)
        return 0;
    pipeline_wake(s->pipeline, true);
    struct queue none;
    while (pipeline_collect(s->pipeline, 0, 0, &none)) {
        connections_serve(s->connections, BREATH, true);
        station_answer_ended(s);
    }
    r = pipeline_end(s->pipeline, NULL);
    s->pipeline = NULL;
    station_answer_waiting(s);
    flush(s);
    return pc_process_abandoned() ? r : 0;
}

static int serve(struct station *s)
{
    while (!is_stopped(s)) {
        connections_serve(s->connections, BREATH, false);
        station_answer_ended(s);
        int r = station_look_after(s);
        if (r < 0) {
            struct ca_failure failure;
            ca_failure_keep(r, &failure);
            flush(s);
            return ca_failure_again(&failure);
        }
    }
    return finish(s);
}

int signer_run(struct ca *ca, const struct signer_options *options)
{
    struct station PC_CLEANUP(station_clear) station = {.ca = ca, .options = options, .wake = -1};
    ca->lasting = true;
    int r = station_init(&station);
    if (r == 0)
        r = ca_signing_run(ca);
    if (r == 0)
        r = station_start(&station);
    if (r < 0)
        return r;
    if (options->ready)
        options->ready(options->context);
    return serve(&station);
}
