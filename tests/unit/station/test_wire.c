/* What the station's two services say to each other: what is written is read again, and what is no frame, by
 * accident or by an attacker's will, is refused before anything is made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "provision/station/wire/wire.h"
#include "src/base/error.h"

#define PLANT "a1b2c3d4-0000-0000-0000-000000000001"
#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct pc_bytes bytes(const char *text)
{
    struct pc_bytes ret;
    assert_int_equal(pc_bytes_copy(text, strlen(text), &ret), 0);
    return ret;
}

static void fill_question(enum wire_kind kind, struct wire_question *ret)
{
    *ret = (struct wire_question){.number = UINT64_C(0x0123456789abcdef), .kind = kind, .label = "device"};
    snprintf(ret->from, sizeof ret->from, "192.0.2.7");
    if (kind == WIRE_ENROL || kind == WIRE_REENROL || kind == WIRE_SERVER)
        ret->csr = bytes("a request");
    if (kind == WIRE_ENROL || kind == WIRE_REENROL) {
        ret->certificate = bytes("a certificate");
        snprintf(ret->binding, sizeof ret->binding, "q6urqw==");
    }
    if (kind == WIRE_ENROL) {
        snprintf(ret->user, sizeof ret->user, PLANT);
        assert_int_equal(pc_secret_new(4, &ret->code), 0);
        memcpy(ret->code->data, "code", 4);
    }
}

static void fill_answer(enum wire_kind kind, struct wire_answer *ret)
{
    *ret =
        (struct wire_answer){.number = 7, .kind = kind, .retry_after = 30, .rule = "a-rule", .text = "žluť"};
    if (kind == WIRE_ENROL || kind == WIRE_REENROL || kind == WIRE_TRUST || kind == WIRE_SERVER)
        ret->certificates[ret->count++] = bytes("leaf");
    if (kind == WIRE_TRUST || kind == WIRE_SERVER)
        ret->certificates[ret->count++] = bytes("root");
    ret->binding_required = kind == WIRE_ATTRIBUTES;
    if (kind == WIRE_HEALTH) {
        ret->health = (struct wire_health){.ledger = true, .started_at = -1, .horizon = INT64_MAX};
        ret->health.signing_le[WIRE_HEALTH_LE - 1] = UINT64_MAX;
    }
}

static void assert_same_bytes(const struct pc_bytes *a, const struct pc_bytes *b)
{
    assert_int_equal(a->len, b->len);
    if (a->len)
        assert_memory_equal(a->data, b->data, a->len);
}

static void test_question_comes_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < WIRE_KINDS; kind++) {
        struct wire_question asked, read;
        struct pc_bytes frame, again;
        fill_question((enum wire_kind)kind, &asked);
        assert_int_equal(wire_question_write(&asked, &frame), 0);
        assert_int_equal(wire_question_read(frame.data, frame.len, &read), 0);
        assert_true(read.number == asked.number && read.kind == asked.kind);
        assert_string_equal(read.label, asked.label);
        assert_string_equal(read.user, asked.user);
        assert_string_equal(read.binding, asked.binding);
        assert_string_equal(read.from, asked.from);
        assert_same_bytes(&read.csr, &asked.csr);
        assert_same_bytes(&read.certificate, &asked.certificate);
        assert_true((read.code == NULL) == (asked.code == NULL));
        if (read.code)
            assert_memory_equal(read.code->data, "code", 5);
        assert_int_equal(wire_question_write(&read, &again), 0);
        assert_same_bytes(&frame, &again);
        wire_frame_wipe(&frame);
        wire_frame_wipe(&again);
        assert_null(frame.data);
        wire_question_clear(&asked);
        wire_question_clear(&read);
    }
}

static void test_answer_comes_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < WIRE_KINDS; kind++) {
        struct wire_answer given, read;
        struct pc_bytes frame;
        fill_answer((enum wire_kind)kind, &given);
        assert_int_equal(wire_answer_write(&given, &frame), 0);
        assert_int_equal(wire_answer_read(frame.data, frame.len, &read), 0);
        assert_true(read.number == 7 && read.kind == given.kind && read.outcome == WIRE_DONE);
        assert_true(read.retry_after == 30 && read.binding_required == given.binding_required);
        assert_string_equal(read.rule, given.rule);
        assert_string_equal(read.text, given.text);
        assert_int_equal(read.count, given.count);
        for (size_t i = 0; i < read.count; i++)
            assert_same_bytes(&read.certificates[i], &given.certificates[i]);
        assert_memory_equal(&read.health, &given.health, sizeof read.health);
        wire_frame_wipe(&frame);
        wire_answer_clear(&given);
        wire_answer_clear(&read);
    }
}

/* As read from a stream: length by length, with more behind it, with nothing. */
static void test_length(void **state)
{
    (void)state;
    struct wire_question asked;
    struct pc_bytes frame;
    size_t len;
    fill_question(WIRE_ENROL, &asked);
    assert_int_equal(wire_question_write(&asked, &frame), 0);
    for (size_t have = 0; have < frame.len; have++) {
        assert_int_equal(wire_frame_length(frame.data, have, &len), 0);
        assert_int_equal(len, 0);
    }
    assert_int_equal(wire_frame_length(frame.data, frame.len, &len), 0);
    assert_int_equal(len, frame.len);
    struct pc_bytes two = {.data = malloc(2 * frame.len), .len = 2 * frame.len};
    memcpy(two.data, frame.data, frame.len);
    memcpy(two.data + frame.len, frame.data, frame.len);
    assert_int_equal(wire_frame_length(two.data, two.len, &len), 0);
    assert_int_equal(len, frame.len);
    pc_bytes_clear(&two);
    wire_frame_wipe(&frame);
    wire_question_clear(&asked);
}

static void test_impossible_lengths(void **state)
{
    (void)state;
    static const unsigned char starts[][5] = {
        {0, 0, 0, 0, 1}, {0, 0, 0, 9, 1},   {0xff, 0xff, 0xff, 0xff, 1}, {0x80, 0, 0, 0, 1},
        {0, 4, 0, 0, 1}, {0, 0, 0, 100, 2}, {0, 0, 0, 100, 0},           {'G', 'E', 'T', ' ', '/'},
    };
    size_t len;
    for (size_t i = 0; i < LENGTH(starts); i++) {
        assert_int_equal(wire_frame_length(starts[i], sizeof starts[i], &len), PC_EREFUSED);
        assert_string_equal(pc_error_name(), "wire-frame");
    }
}

/* A frame made by hand: kind, then fields as they stand. */
static size_t forge(unsigned char kind, const void *fields, size_t len, unsigned char *ret)
{
    const unsigned char head[14] = {0, 0,   (unsigned char)((len + 10) >> 8), (unsigned char)(len + 10),
                                    1, kind};
    memcpy(ret, head, sizeof head);
    memcpy(ret + sizeof head, fields, len);
    return sizeof head + len;
}

#define FORGED(kind, fields) kind, fields, sizeof(fields) - 1
#define CSR "\2\0\0\0\1x"
#define FROM "\7\0\0\0\1x"

static const struct {
    const char *what;
    unsigned char kind;
    const char *fields;
    size_t len;
} questions[] = {
    {"no request", FORGED(WIRE_ENROL, FROM)},
    {"nobody asks", FORGED(WIRE_ENROL, CSR)},
    {"a request twice", FORGED(WIRE_ENROL, CSR CSR FROM)},
    {"out of order", FORGED(WIRE_ENROL, FROM CSR)},
    {"an unknown field", FORGED(WIRE_ENROL, CSR FROM "\10\0\0\0\1x")},
    {"field 0", FORGED(WIRE_ENROL, "\0\0\0\0\1x" CSR FROM)},
    {"an empty field", FORGED(WIRE_ENROL, "\2\0\0\0\0" FROM)},
    {"a field that goes past the frame", FORGED(WIRE_ENROL, CSR "\7\0\0\0\2x")},
    {"a length of four billion", FORGED(WIRE_ENROL, CSR "\7\377\377\377\377x")},
    {"half a field", FORGED(WIRE_ENROL, CSR FROM "\7\0\0")},
    {"a plant that is none", FORGED(WIRE_ENROL, CSR "\3\0\0\0\1x" FROM)},
    {"a plant in capitals", FORGED(WIRE_ENROL, CSR "\3\0\0\0\44"
                                                   "A1B2C3D4-0000-0000-0000-000000000001" FROM)},
    {"a plant with a NUL", FORGED(WIRE_ENROL, CSR "\3\0\0\0\44"
                                                  "a1b2c3d4-0000-0000-0000-00000000000\0" FROM)},
    {"a re-enrolment with a code", FORGED(WIRE_REENROL, CSR "\4\0\0\0\1x" FROM)},
    {"a label with a line end", FORGED(WIRE_TRUST, "\1\0\0\0\2x\n")},
    {"a label of 32", FORGED(WIRE_TRUST, "\1\0\0\0\40"
                                         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")},
    {"an address with an escape", FORGED(WIRE_TRUST, "\7\0\0\0\2\33[")},
    {"a binding that is no base64", FORGED(WIRE_ENROL, CSR "\6\0\0\0\4x=x=" FROM)},
    {"a request for the root", FORGED(WIRE_TRUST, CSR)},
    {"no such question", FORGED(WIRE_KINDS, "")},
    {"an answer", FORGED(0x80 | WIRE_TRUST, "")},
};

static void test_forged_questions(void **state)
{
    (void)state;
    unsigned char frame[256];
    struct wire_question read;
    size_t len = forge(WIRE_ENROL, CSR FROM, sizeof CSR FROM - 1, frame);
    assert_int_equal(wire_question_read(frame, len, &read), 0); /* else all of these prove nothing */
    wire_question_clear(&read);
    for (size_t i = 0; i < LENGTH(questions); i++) {
        len = forge(questions[i].kind, questions[i].fields, questions[i].len, frame);
        if (wire_question_read(frame, len, &read) != PC_EREFUSED)
            fail_msg("%s: taken", questions[i].what);
        assert_string_equal(pc_error_name(), "wire-frame");
    }
    assert_int_equal(wire_question_read(frame, 0, &read), PC_EREFUSED);
}

#define RETRY "\2\0\0\0\4\0\0\0\0"
#define DONE "\1\0\0\0\4\0\0\0\0" RETRY
#define UNAVAILABLE "\1\0\0\0\4\0\0\0\6" RETRY
#define CERTIFICATE "\5\0\0\0\1x"

static const struct {
    const char *what;
    unsigned char kind;
    const char *fields;
    size_t len;
} answers[] = {
    {"no outcome", FORGED(0x80 | WIRE_ATTRIBUTES, RETRY "\6\0\0\0\1\0")},
    {"no time to wait", FORGED(0x80 | WIRE_ATTRIBUTES, "\1\0\0\0\4\0\0\0\0\6\0\0\0\1\0")},
    {"neither bound nor not", FORGED(0x80 | WIRE_ATTRIBUTES, DONE)},
    {"no numbers", FORGED(0x80 | WIRE_HEALTH, DONE)},
    {"an outcome out of range", FORGED(0x80 | WIRE_ENROL, "\1\0\0\0\4\0\0\0\12" RETRY)},
    {"an outcome of 2^32-1", FORGED(0x80 | WIRE_ENROL, "\1\0\0\0\4\377\377\377\377" RETRY)},
    {"an outcome of one byte", FORGED(0x80 | WIRE_ENROL, "\1\0\0\0\1\0" RETRY)},
    {"done, and no certificate", FORGED(0x80 | WIRE_ENROL, DONE)},
    {"done, and two certificates", FORGED(0x80 | WIRE_ENROL, DONE CERTIFICATE CERTIFICATE)},
    {"unavailable, and a certificate", FORGED(0x80 | WIRE_ENROL, UNAVAILABLE CERTIFICATE)},
    {"seventeen certificates",
     FORGED(0x80 | WIRE_TRUST, DONE CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE
                                   CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE
                                       CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE CERTIFICATE)},
    {"a certificate where none belongs", FORGED(0x80 | WIRE_ATTRIBUTES, DONE CERTIFICATE "\6\0\0\0\1\0")},
    {"a rule with a blank", FORGED(0x80 | WIRE_TRUST, UNAVAILABLE "\3\0\0\0\3a b")},
    {"a text of two lines", FORGED(0x80 | WIRE_TRUST, UNAVAILABLE "\4\0\0\0\3a\nb")},
    {"numbers that are too few", FORGED(0x80 | WIRE_HEALTH, DONE "\7\0\0\0\10\0\0\0\0\0\0\0\0")},
    {"maybe", FORGED(0x80 | WIRE_ATTRIBUTES, DONE "\6\0\0\0\1\2")},
    {"a question", FORGED(WIRE_TRUST, "")},
};

static void test_forged_answers(void **state)
{
    (void)state;
    unsigned char frame[256];
    struct wire_answer read;
    size_t len = forge(0x80 | WIRE_ENROL, DONE CERTIFICATE, sizeof DONE CERTIFICATE - 1, frame);
    assert_int_equal(wire_answer_read(frame, len, &read), 0);
    wire_answer_clear(&read);
    for (size_t i = 0; i < LENGTH(answers); i++) {
        len = forge(answers[i].kind, answers[i].fields, answers[i].len, frame);
        if (wire_answer_read(frame, len, &read) != PC_EREFUSED)
            fail_msg("%s: taken", answers[i].what);
        assert_string_equal(pc_error_name(), "wire-frame");
    }
}

/* Every bit turned over: refused, or read as something that is written just so. */
static void test_flipped(void **state)
{
    (void)state;
    struct wire_question asked, read;
    struct pc_bytes frame, again;
    size_t taken = 0;
    fill_question(WIRE_ENROL, &asked);
    assert_int_equal(wire_question_write(&asked, &frame), 0);
    for (size_t bit = 0; bit < 8 * frame.len; bit++) {
        frame.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (wire_question_read(frame.data, frame.len, &read) == 0) {
            assert_int_equal(wire_question_write(&read, &again), 0);
            assert_same_bytes(&frame, &again);
            wire_frame_wipe(&again);
            wire_question_clear(&read);
            taken++;
        } else {
            assert_string_equal(pc_error_name(), "wire-frame");
        }
        frame.data[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(taken > 0 && taken < 8 * frame.len);
    for (size_t len = 0; len < frame.len; len++)
        assert_int_equal(wire_question_read(frame.data, len, &read), PC_EREFUSED);
    wire_frame_wipe(&frame);
    wire_question_clear(&asked);
}

/* What the reader would refuse is not even sent. */
static void test_unwritable(void **state)
{
    (void)state;
    struct pc_bytes frame;
    struct wire_question question = {.kind = WIRE_TRUST};
    snprintf(question.label, sizeof question.label, "two\nlines");
    assert_int_equal(wire_question_write(&question, &frame), PC_EUSAGE);
    memset(question.label, 'x', sizeof question.label); /* no NUL */
    assert_int_equal(wire_question_write(&question, &frame), PC_EUSAGE);
    fill_question(WIRE_ENROL, &question);
    pc_bytes_clear(&question.csr);
    assert_int_equal(wire_question_write(&question, &frame), PC_EUSAGE);
    question.csr = (struct pc_bytes){.data = calloc(1, 65537), .len = 65537};
    assert_int_equal(wire_question_write(&question, &frame), PC_EUSAGE);
    wire_question_clear(&question);
    struct wire_answer answer = {.kind = WIRE_ENROL, .outcome = WIRE_DONE};
    assert_int_equal(wire_answer_write(&answer, &frame), PC_EUSAGE);
    answer.outcome = WIRE_FAILED;
    memset(answer.text, 'x', sizeof answer.text);
    assert_int_equal(wire_answer_write(&answer, &frame), PC_EUSAGE);
}

/* The greatest answer there can be fits a frame, and nothing is cut off. */
static void test_greatest(void **state)
{
    (void)state;
    struct wire_answer answer = {.kind = WIRE_TRUST}, read;
    struct pc_bytes frame;
    for (; answer.count < WIRE_CERTIFICATES_MAX; answer.count++)
        answer.certificates[answer.count] = (struct pc_bytes){.data = calloc(1, 12288), .len = 12288};
    memset(answer.text, 'x', sizeof answer.text - 1);
    memset(answer.rule, 'x', sizeof answer.rule - 1);
    assert_int_equal(wire_answer_write(&answer, &frame), 0);
    assert_true(frame.len <= WIRE_FRAME_MAX);
    assert_int_equal(wire_answer_read(frame.data, frame.len, &read), 0);
    assert_int_equal(read.count, WIRE_CERTIFICATES_MAX);
    assert_string_equal(read.text, answer.text);
    wire_answer_clear(&read);
    wire_answer_clear(&answer);
    wire_frame_wipe(&frame);
}

static void test_bounds_rise(void **state)
{
    (void)state;
    for (size_t i = 1; i < WIRE_HEALTH_LE; i++)
        assert_true(wire_health_bounds[i - 1] < wire_health_bounds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question_comes_back),
        cmocka_unit_test(test_answer_comes_back),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_impossible_lengths),
        cmocka_unit_test(test_forged_questions),
        cmocka_unit_test(test_forged_answers),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_unwritable),
        cmocka_unit_test(test_greatest),
        cmocka_unit_test(test_bounds_rise),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
