// Frameworks put prototypes of their own (express: of IncomingMessage and ServerResponse) in the place of an object's: what
// its class defines has to stand on the object itself to stay. Methods and plain properties do so at little cost; accessors
// take the engine's slow path, and are few.

type Method = (...args: never[]) => unknown;

/** The methods that a class defines. */
export function methodsOf(prototype: object): readonly (readonly [string, Method])[] {
  return Object.entries(Object.getOwnPropertyDescriptors(prototype))
    .filter(([name, { value }]) => name !== "constructor" && typeof value === "function")
    .map(([name, { value }]) => [name, value as Method] as const);
}

/** Gives `object` its methods as properties of its own. */
export function pin(object: object, methods: readonly (readonly [string, Method])[]): void {
  const target = object as Record<string, unknown>;
  for (let i = 0; i < methods.length; i++) target[methods[i]![0]] = methods[i]![1];
}

/** Accessors that a class defines, for Object.defineProperties. */
export function accessorsOf(prototype: object, names: readonly string[]): PropertyDescriptorMap {
  return Object.fromEntries(names.map((name) => [name, Object.getOwnPropertyDescriptor(prototype, name)!]));
}
