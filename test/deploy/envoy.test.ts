/** Envoy cannot be run here: what its configuration must say for streams, WebSockets and addresses is held as data. */
import t from 'tap';
import { parse } from 'yaml';
import { textOf } from '../helpers/pages.ts';

interface Manager {
  readonly typed_config: Readonly<Record<string, unknown>>;
}

interface Envoy {
  readonly static_resources: {
    readonly listeners: readonly { readonly filter_chains: readonly { readonly filters: readonly Manager[] }[] }[];
    readonly clusters: readonly Readonly<Record<string, unknown>>[];
  };
}

const { static_resources: config } = parse(textOf('deploy/envoy/envoy.yaml')) as Envoy;

void t.test('the listener changes no bytes, waits for silent runs, and lets WebSockets through', async (t) => {
  t.match(config.listeners[0]?.filter_chains[0]?.filters[0]?.typed_config, {
    use_remote_address: true,
    normalize_path: false,
    merge_slashes: false,
    path_with_escaped_slashes_action: 'KEEP_UNCHANGED',
    stream_idle_timeout: '0s',
    request_timeout: '0s',
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    route_config: { virtual_hosts: [{ routes: [{ route: { cluster: 'auth_shim', timeout: '0s' } }] }] },
  });
});

void t.test('the cluster is the shim, asked for its readiness at its probes', async (t) => {
  t.match(config.clusters, [
    {
      name: 'auth_shim',
      health_checks: [{ http_health_check: { path: '/readyz' } }],
      load_assignment: {
        endpoints: [
          {
            lb_endpoints: [
              {
                endpoint: {
                  address: { socket_address: { address: '127.0.0.1', port_value: 18780 } },
                  health_check_config: { port_value: 18782 },
                },
              },
            ],
          },
        ],
      },
    },
  ]);
});
