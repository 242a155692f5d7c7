/* Fields of a line, taken off one by one. */
#include "src/base/csv.h"

#include <string.h>

char *pc_csv_begin(char *line)
{
    return strncmp(line, "\xef\xbb\xbf", 3) == 0 ? line + 3 : line;
}

const char *pc_csv_field(char **at, char separator, char **ret)
{
    const char ends[] = {separator, '"', '\0'};
    char *from = *at, *to = *at;
    *ret = to;
    if (*from != '"') {
        from += strcspn(from, ends);
        if (*from == '"')
            return "a quotation mark inside a field that is not quoted";
        to = from;
    } else {
        for (from++; *from != '"' || from[1] == '"'; *to++ = *from++) {
            if (*from == '\0')
                return "a quoted field does not end on its line";
            from += *from == '"';
        }
        from++;
        if (*from && *from != separator)
            return "text behind a quoted field";
    }
    *at = *from ? from + 1 : NULL;
    *to = '\0';
    return NULL;
}
