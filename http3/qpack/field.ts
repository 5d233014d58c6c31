/**
 * A field line. `name` and `value` are strings of bytes: one char (U+0000 to U+00FF) a byte, as `latin1` has it.
 */
export interface Field {
  readonly name: string;
  readonly value: string;
  /**
   * Never to be put in a compression table, by nobody on its way: the N bit. Credentials and other short secrets
   * that an attacker could guess by the length of what is sent. rfc9204#7.1.3
   */
  readonly sensitive?: boolean;
}

/** What a field counts beyond its name and value, in tables and in field sections. rfc9204#3.2.1, rfc9114#4.2.2 */
export const FIELD_OVERHEAD = 32;

/** The size of a field in a table or a field section, in bytes. */
export function fieldSize(field: Field): number {
  return field.name.length + field.value.length + FIELD_OVERHEAD;
}
