/** The manifests of `deploy/kubernetes`, and the settings that they mount. */
import { loadSettings, yamlOf } from './deployment.ts';
import { textOf } from './pages.ts';

export const BASE = 'deploy/kubernetes/base';
export const OVERLAY = 'deploy/kubernetes/overlays/example';
export const SETTINGS = `${OVERLAY}/shim.config.yaml`;

/** What all kinds have. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly data?: Record<string, string>;
}

export const workload = yamlOf<{ spec: WorkloadSpec }>(`${BASE}/statefulset.yaml`);
export const pod = workload.spec.template.spec;
export const [shim] = pod.initContainers as [Container];
export const [gateway] = pod.containers as [Container];
export const { config } = await loadSettings(textOf(SETTINGS), SETTINGS);
export const port = 'port' in config.listen.address ? config.listen.address.port : 0;

export function containersOf({ template }: WorkloadSpec): Container[] {
  return [...template.spec.initContainers, ...template.spec.containers];
}

export interface Named {
  readonly name: string;
}

export interface Probe {
  readonly httpGet?: { readonly path: string; readonly port: string };
}

export interface Container extends Named {
  readonly image: string;
  readonly restartPolicy?: string;
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly env?: readonly (Named & {
    readonly value?: string;
    readonly valueFrom?: { readonly secretKeyRef: { readonly name: string; readonly key: string } };
  })[];
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly lifecycle: {
    readonly preStop: { readonly exec?: { readonly command: string[] }; readonly sleep?: { readonly seconds: number } };
  };
  readonly securityContext: { readonly runAsUser?: number; readonly runAsGroup?: number };
  readonly volumeMounts: readonly (Named & { readonly mountPath: string })[];
}

export interface WorkloadSpec {
  readonly replicas: number;
  readonly template: {
    readonly metadata: { readonly labels: Record<string, string> };
    readonly spec: {
      readonly automountServiceAccountToken: boolean;
      readonly terminationGracePeriodSeconds: number;
      readonly securityContext: object;
      readonly initContainers: readonly Container[];
      readonly containers: readonly Container[];
      readonly volumes: readonly Named[];
    };
  };
  readonly volumeClaimTemplates: readonly { readonly metadata: Named }[];
}

export interface NetworkRule {
  readonly podSelector: { readonly matchLabels: object };
  readonly policyTypes: readonly string[];
  readonly ingress: readonly {
    readonly from: readonly { readonly podSelector: { readonly matchLabels: Record<string, string> } }[];
    readonly ports: readonly object[];
  }[];
}

export interface Kustomization {
  readonly configMapGenerator: readonly { readonly name: string; readonly files: readonly string[] }[];
  readonly secretGenerator: readonly { readonly name: string; readonly files: readonly string[] }[];
  readonly generatorOptions: { readonly disableNameSuffixHash: boolean };
}
