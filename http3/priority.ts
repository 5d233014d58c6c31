// Extensible priorities, rfc9218: what the Priority field and the PRIORITY_UPDATE frame say.

import { parseDictionary, serializeDictionary } from "structured-headers";

/** A response's priority. */
export interface Priority {
  /** 0 (first) to 7 (last); 3 where nothing is said. rfc9218#4.1 */
  readonly urgency: number;
  /** Whether parts of it are of use before the whole. False where nothing is said. rfc9218#4.2 */
  readonly incremental: boolean;
}

/** What holds where nothing is said. */
export const DEFAULT_PRIORITY: Priority = Object.freeze({ urgency: 3, incremental: false });

/** The same for a tunnel: rfc9218#10.1 servers SHOULD allocate some amount of bandwidths to streams acting as tunnels. */
export const TUNNEL_PRIORITY: Priority = Object.freeze({ urgency: 3, incremental: true });

/** What a Priority field says: what it does not say is undefined, so that a server can merge it. rfc9218#8 */
export interface PriorityParameters {
  readonly urgency: number | undefined;
  readonly incremental: boolean | undefined;
}

/**
 * Parses a Priority field's value, or a PRIORITY_UPDATE's.
 *
 * rfc9218#4 unknown priority parameters, priority parameters with out-of-range values, or values of unexpected types MUST
 * be ignored.
 *
 * @param value - several lines of the field are joined by ", " first
 * @returns null where it is no dictionary: the field is ignored; the frame may be taken as an error
 */
export function parsePriority(value: string): PriorityParameters | null {
  let dictionary: ReturnType<typeof parseDictionary>;
  try {
    dictionary = parseDictionary(value);
  } catch {
    return null;
  }
  const u = dictionary.get("u")?.[0];
  const i = dictionary.get("i")?.[0];
  return {
    // Of an Integer: 3.0 is a Decimal, which the parser gives as a number too. And -0 is 0.
    urgency: typeof u === "number" && Number.isInteger(u) && u >= 0 && u <= 7 ? Math.abs(u) : undefined,
    incremental: typeof i === "boolean" ? i : undefined,
  };
}

/** The priority that parameters stand for; with what holds where they say nothing. */
export function priorityOf(
  parameters: PriorityParameters | null,
  otherwise: Priority = DEFAULT_PRIORITY,
): Priority {
  return {
    urgency: parameters?.urgency ?? otherwise.urgency,
    incremental: parameters?.incremental ?? otherwise.incremental,
  };
}

/**
 * A Priority field's value; empty where all is as it is without the field.
 *
 * @throws {RangeError} where the urgency is none
 */
export function serializePriority(priority: Priority): string {
  const { urgency, incremental } = priority;
  if (!Number.isInteger(urgency) || urgency < 0 || urgency > 7) {
    throw new RangeError(`an urgency is an integer from 0 to 7, not ${urgency}`);
  }
  const dictionary: Record<string, number | boolean> = {};
  if (urgency !== DEFAULT_PRIORITY.urgency) dictionary.u = urgency;
  if (incremental) dictionary.i = true;
  return serializeDictionary(dictionary);
}
