declare module 'prom-client/lib/registry.js' {
  /** What the registry asks of a metric that is not one of its own classes. */
  export interface RegisteredMetric {
    readonly name: string;
    get(): Promise<{
      readonly name: string;
      readonly help: string;
      readonly type: string;
      readonly values: readonly {
        readonly value: number;
        readonly labels: Readonly<Record<string, string>>;
        readonly metricName?: string;
      }[];
    }>;
  }
  export default class Registry {
    readonly contentType: string;
    registerMetric(metric: RegisteredMetric): void;
    metrics(): Promise<string>;
  }
}
