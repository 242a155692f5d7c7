/* Frames of the station's two services, as either side reads the other's: a frame says one thing in one way,
 * so that what was read is written in the same bytes. */
#include "tests/fuzz/fuzz.h"

#include "provision/station/wire/wire.h"

static void as_question(const struct pc_bytes *frame)
{
    struct wire_question question;
    struct pc_bytes again = {0};

    if (wire_question_read(frame->data, frame->len, &question))
        return;
    must(wire_question_write(&question, &again) == 0);
    must_be_same(frame, &again);
    wire_frame_wipe(&again);
    wire_question_clear(&question);
}

static void as_answer(const struct pc_bytes *frame)
{
    struct wire_answer answer;
    struct pc_bytes again = {0};

    if (wire_answer_read(frame->data, frame->len, &answer))
        return;
    must(wire_answer_write(&answer, &again) == 0);
    must_be_same(frame, &again);
    wire_frame_wipe(&again);
    wire_answer_clear(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pc_bytes frame = borrowed(data, size);
    size_t len = 0;

    if (wire_frame_length(data, size, &len) == 0) {
        must(len <= size && len <= WIRE_FRAME_MAX);
        frame.len = len > 0 ? len : frame.len;
    }
    as_question(&frame);
    as_answer(&frame);
    return 0;
}
