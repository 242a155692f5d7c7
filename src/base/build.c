/* The build id, read from the program's own headers as the loader mapped them. */
#include "src/base/build.h"

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "src/base/memory.h"

static char text[PC_BUILD_TEXT] = "unknown";

/* Name and descriptor of a note begin at multiples of four (gABI, Note Section), or of the segment's own
 * alignment. */
static size_t padded(size_t len, size_t align)
{
    return (len + align - 1) / align * align;
}

static void read_notes(const unsigned char *at, size_t left, size_t align)
{
    ElfW(Nhdr) note;
    while (left >= sizeof note) {
        memcpy(&note, at, sizeof note);
        size_t descriptor = padded(sizeof note + note.n_namesz, align);
        size_t next = padded(descriptor + note.n_descsz, align);
        if (descriptor > left || note.n_descsz > left - descriptor)
            return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
            memcmp(at + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0 && note.n_descsz > 0 &&
            note.n_descsz <= sizeof text / 2) {
            pc_hex(at + descriptor, note.n_descsz, text);
            return;
        }
        if (next > left)
            return;
        at += next;
        left -= next;
    }
}

/* The loader names the program first; what it loaded is of no interest. */
static int read_program(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_NOTE)
            read_notes((const unsigned char *)(uintptr_t)(info->dlpi_addr + header->p_vaddr), header->p_memsz,
                       header->p_align == 8 ? 8 : 4);
    }
    return 1;
}

static void read_once(void)
{
    dl_iterate_phdr(read_program, NULL);
}

const char *pc_build_id(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_once);
    return text;
}
