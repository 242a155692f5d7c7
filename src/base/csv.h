/* One line of comma separated values, as spreadsheets write them (RFC 4180; where the comma is for decimals,
 * with semicolons), but no value goes on over a line's end. */
#ifndef PC_CSV_H
#define PC_CSV_H

/* Takes the next field off, in place: *at is moved behind it and its separator, or to NULL behind the last
 * one. NULL, or what is wrong with the line (a literal). */
const char *pc_csv_field(char **at, char separator, char **ret);
/* The line without the mark that some spreadsheets put before UTF-8. */
char *pc_csv_begin(char *line);

#endif
