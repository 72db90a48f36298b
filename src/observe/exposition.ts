/** Metrics as text, in the exposition format of Prometheus. */

/** One line of the text. `suffix` is what a histogram adds to the name. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly suffix?: '_bucket' | '_sum' | '_count';
}

/** One metric, read when somebody asks. Without a sample it is named and has no value. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly read: () => readonly Sample[];
}

/** The answer to a scrape. */
export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

/**
 * @param families what is exposed; their names are unique
 * @returns a function that writes their values of the moment
 */
export function createExposition(families: readonly Family[]): () => Promise<Exposition> {
  const load = async () => {
    // At the first scrape, and the registry alone: the package's entry costs 80 ms and 20 MB.
    const { default: Registry } = await import('prom-client/lib/registry.js');
    const registry = new Registry();
    for (const family of families) {
      const { name, help, type } = family;
      const get = async () => ({ name, help, type, values: family.read().map((sample) => named(name, sample)) });
      registry.registerMetric({ name, get });
    }
    return registry;
  };
  let loaded: ReturnType<typeof load> | undefined;
  return async () => {
    const registry = await (loaded ??= load());
    return { contentType: registry.contentType, body: await registry.metrics() };
  };
}

function named(name: string, { labels, value, suffix }: Sample) {
  return { labels, value, metricName: name + (suffix ?? '') };
}

/** @returns one sample without labels; none for what is not configured */
export function one(value: number | boolean | undefined): Sample[] {
  return value === undefined ? [] : [{ labels: {}, value: Number(value) }];
}

/** @returns a sample for each value of a label */
export function by(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));
}

/** @returns a family that only grows */
export function counter(name: string, help: string, read: Family['read']): Family {
  return { name: `auth_shim_${name}`, help, type: 'counter', read };
}

/** @returns a family of values of the moment */
export function gauge(name: string, help: string, read: Family['read']): Family {
  return { name: `auth_shim_${name}`, help, type: 'gauge', read };
}
