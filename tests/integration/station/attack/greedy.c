/* A client that asks nothing and gives no rest: after its handshake it sends KeyUpdates (TLS 1.3, RFC 8446
 * §4.6.3), which cost the other side more than itself, as fast as they are taken. Ends, with 0, when it is
 * turned away, and with 1 when it was not within SECONDS.
 * greedy PORT SECONDS */
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

static int connect_to(unsigned port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        exit(2);
    }
    return fd;
}

static bool send_one(SSL *ssl)
{
    return SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context ? SSL_new(context) : NULL;
    if (!ssl || !SSL_set_min_proto_version(ssl, TLS1_3_VERSION) ||
        !SSL_set_fd(ssl, connect_to((unsigned)strtoul(argv[1], NULL, 10))) || SSL_connect(ssl) != 1)
        return 2;
    printf("begins\n");
    fflush(stdout);
    unsigned long sent = 0;
    time_t end = time(NULL) + strtol(argv[2], NULL, 10);
    bool taken = true;
    while (taken && time(NULL) < end)
        sent += taken = send_one(ssl);
    printf("%lu sent\n", sent);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return taken ? 1 : 0;
}
