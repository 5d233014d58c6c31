/**
 * What fields for offsets and sums of bytes hold before their first value. V8 keeps a field as small integers until it
 * holds something else, and then throws away all code that was compiled with it: when counts of a process pass 2³¹ for the
 * first time, that was the whole hot path, and compiling it anew took a second in the midst of a transfer. A field that
 * began with a number as large as this is kept as a double.
 */
export const WIDE = 2 ** 40;
