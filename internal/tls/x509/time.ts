// Unix milliseconds to and from the two times of X.509 (rfc5280#4.1.2.5), without Date: internal/ has no clock.

import { utf8 } from "../../protocol/bytes.ts";

const DAY = 86_400_000;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export const DER_UTC_TIME = 0x17;
export const DER_GENERALIZED_TIME = 0x18;

/** Days since 1970-01-01 of a date in the Gregorian calendar. */
function daysFromCivil(year: number, month: number, day: number): number {
  // Years that begin in March put the leap day last.
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** Unix ms of a moment in UTC; months count from 1. */
export function utcMs(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number {
  return daysFromCivil(year, month, day) * DAY + ((hour * 60 + minute) * 60 + second) * 1000;
}

interface Civil {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

function civil(ms: number): Civil {
  const days = Math.floor(ms / DAY);
  const seconds = Math.floor((ms - days * DAY) / 1000);
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const mp = Math.floor((5 * dayOfYear + 2) / 153);
  const month = mp < 10 ? mp + 3 : mp - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * mp + 2) / 5) + 1,
    hour: Math.floor(seconds / 3600),
    minute: Math.floor(seconds / 60) % 60,
    second: seconds % 60,
  };
}

function daysInMonth(year: number, month: number): number {
  const next = month === 12 ? daysFromCivil(year + 1, 1, 1) : daysFromCivil(year, month + 1, 1);
  return next - daysFromCivil(year, month, 1);
}

const two = (n: number): string => String(n).padStart(2, "0");

/** The DER of a time: rfc5280#4.1.2.5 MUST encode dates through 2049 as UTCTime, from 2050 on as GeneralizedTime. */
export function encodeTime(ms: number): Uint8Array {
  const t = civil(ms);
  const rest = `${two(t.month)}${two(t.day)}${two(t.hour)}${two(t.minute)}${two(t.second)}Z`;
  const utc = t.year >= 1950 && t.year < 2050;
  const text = utf8(utc ? two(t.year % 100) + rest : String(t.year).padStart(4, "0") + rest);
  const out = new Uint8Array(2 + text.length);
  out[0] = utc ? DER_UTC_TIME : DER_GENERALIZED_TIME;
  out[1] = text.length;
  out.set(text, 2);
  return out;
}

/** Unix ms of a UTCTime or GeneralizedTime. Throws RangeError where it is not exactly as rfc5280#4.1.2.5 has it. */
export function parseTime(tag: number, value: Uint8Array): number {
  const digits = tag === DER_UTC_TIME ? 2 : tag === DER_GENERALIZED_TIME ? 4 : 0;
  // rfc5280#4.1.2.5.1 MUST include seconds and be expressed in GMT (YYMMDDHHMMSSZ); #4.1.2.5.2 MUST NOT include
  // fractional seconds (YYYYMMDDHHMMSSZ).
  if (digits === 0 || value.length !== digits + 11 || value[digits + 10] !== 0x5a) {
    throw new RangeError("malformed time in validity");
  }
  let at = 0;
  const read = (n: number): number => {
    let number = 0;
    for (let i = 0; i < n; i++) {
      const digit = value[at++]! - 0x30;
      if (digit < 0 || digit > 9) throw new RangeError("malformed time in validity");
      number = number * 10 + digit;
    }
    return number;
  };
  let year = read(digits);
  // rfc5280#4.1.2.5.1: YY of 50 and more is 19YY, less is 20YY.
  if (digits === 2) year += year >= 50 ? 1900 : 2000;
  const month = read(2);
  const day = read(2);
  const hour = read(2);
  const minute = read(2);
  const second = read(2);
  if (
    month < 1 ||
    month > 12 ||
    day < 1 ||
    day > daysInMonth(year, month) ||
    hour > 23 ||
    minute > 59 ||
    second > 59
  ) {
    throw new RangeError("impossible time in validity");
  }
  return utcMs(year, month, day, hour, minute, second);
}

/** As OpenSSL and node:tls print it: `Nov  3 09:05:00 2025 GMT`. */
export function formatTime(ms: number): string {
  const t = civil(ms);
  const day = String(t.day).padStart(2, " ");
  return `${MONTHS[t.month - 1]!} ${day} ${two(t.hour)}:${two(t.minute)}:${two(t.second)} ${t.year} GMT`;
}

/** ISO 8601 for messages: `2025-11-03T09:05:00Z`. */
export function isoTime(ms: number): string {
  const t = civil(ms);
  return `${String(t.year).padStart(4, "0")}-${two(t.month)}-${two(t.day)}T${two(t.hour)}:${two(t.minute)}:${two(t.second)}Z`;
}
