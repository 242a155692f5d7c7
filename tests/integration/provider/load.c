/* Many users of one TPM that serves one at a time: threads, processes, and children that threads leave
 * behind. Run by load.sh, which has made the TPM, the keys and OPENSSL_CONF: "load ROUNDS" is the test, with
 * so many signatures a thread; "load ROUNDS KEY" one more process that signs. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pthread.h>

#include <cmocka.h>

#include "src/base/memory.h"
#include "tests/integration/provider/keys.h"

#define THREADS 8
#define CHILDREN 20

static int rounds;

struct worker {
    EVP_PKEY *key, *public;
    bool pss;
    atomic_int made;
};

static void *work(void *argument)
{
    struct worker *worker = argument;

    for (int i = 0; i < rounds; i++)
        worker->made += sign_and_verify(worker->key, worker->public, "SHA256", worker->pss);
    return NULL;
}

static void signs_in_many_threads(void **state)
{
    EVP_PKEY *own[KEYS], *public[KEYS];
    struct worker workers[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < KEYS; i++) {
        own[i] = load(keys[i].file);
        public[i] = public_half(own[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){own[i % KEYS], public[i % KEYS], keys[i % KEYS].rsa && i < KEYS, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(workers[i].made, rounds);
    for (int i = 0; i < KEYS; i++) {
        EVP_PKEY_free(own[i]);
        EVP_PKEY_free(public[i]);
    }
}

/* A key loaded and used before the fork serves parent and children after it. */
static void signs_after_a_fork(void **state)
{
    EVP_PKEY *key = load("rsa-handle.tpm"), *public = public_half(key);
    pid_t children[3];
    int status;

    (void)state;
    assert_int_equal(sign_and_verify(key, public, "SHA256", false), 1);
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            _exit(sign_and_verify(key, public, "SHA256", true) &&
                          sign_and_verify(key, public, "SHA256", false)
                      ? 0
                      : 1);
    }
    assert_int_equal(sign_and_verify(key, public, "SHA256", false), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

/* Children that another thread forks while this one signs, and that stay: none of them keeps the TPM. Each
 * is forked after at least one more signature has begun, so that they meet the TPM open. */
static void leaves_the_tpm_to_the_parent(void **state)
{
    EVP_PKEY *key = load("rsa-handle.tpm"), *public = public_half(key);
    struct worker worker = {key, public, false, 0};
    pthread_t thread;
    pid_t children[CHILDREN];
    int gate[2], before = rounds;
    char octet;

    (void)state;
    rounds = 4 * CHILDREN;
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(pthread_create(&thread, NULL, work, &worker), 0);
    for (int i = 0; i < CHILDREN; i++) {
        while (worker.made < i)
            usleep(100);
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            close(gate[1]);
            _exit(read(gate[0], &octet, 1) == 0 ? 0 : 1);
        }
    }
    pthread_join(thread, NULL);
    assert_int_equal(worker.made, rounds);
    rounds = before;
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < CHILDREN; i++) {
        int status;

        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

/* What the program has open, it can close and reopen while a signature is made, and none of it is touched. */
static void leaves_descriptors_alone(void **state)
{
    EVP_PKEY *key = load("ec-handle.tpm"), *public = public_half(key);
    int ends[2];
    char octet = 'x';

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(sign_and_verify(key, public, "SHA256", false), 1);
    assert_int_equal(write(ends[1], &octet, 1), 1);
    assert_int_equal(read(ends[0], &octet, 1), 1);
    assert_int_equal(dup(ends[0]), ends[1] + 1); /* the lowest that is free: nothing was left open */
    close(ends[1] + 1);
    close(ends[0]);
    close(ends[1]);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
}

static int sign_alone(const char *file)
{
    EVP_PKEY *key = load(file), *public = public_half(key);
    struct worker worker = {key, public, false, 0};

    work(&worker);
    EVP_PKEY_free(public);
    EVP_PKEY_free(key);
    printf("%d of %d signatures\n", worker.made, rounds);
    return worker.made == rounds ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_in_many_threads),
        cmocka_unit_test(signs_after_a_fork),
        cmocka_unit_test(leaves_the_tpm_to_the_parent),
        cmocka_unit_test(leaves_descriptors_alone),
    };

    if (argc < 2)
        return 2;
    rounds = atoi(argv[1]);
    if (argc > 2)
        return sign_alone(argv[2]);
    return cmocka_run_group_tests_name("provider load", tests, NULL, NULL);
}
