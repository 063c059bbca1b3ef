import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** Names of this machine under which Docker Desktop and kubeconfigs know it. */
const LOCAL_NAMES = /^(localhost|.+\.localhost|(host|gateway|kubernetes)\.docker\.internal)$/i;
/** The bridges that Docker makes: its default one, and one for each network of its own, such as kind's. */
const DOCKER_BRIDGE = /^(docker\d+|br-[0-9a-f]{12})$/;

type Interfaces = ReturnType<typeof networkInterfaces>;

function localAddresses(interfaces: Interfaces): BlockList {
  const list = new BlockList();
  list.addSubnet('127.0.0.0', 8, 'ipv4');
  list.addAddress('::1', 'ipv6');
  for (const [name, addresses] of Object.entries(interfaces)) {
    for (const { cidr, family } of DOCKER_BRIDGE.test(name) ? (addresses ?? []) : []) {
      const [net, prefix] = cidr?.split('/') ?? [];
      if (net && prefix) list.addSubnet(net, Number(prefix), family === 'IPv6' ? 'ipv6' : 'ipv4');
    }
  }
  return list;
}

/**
 * Whether an API server runs on this machine, so that nobody else's work is touched: it is reached over the loopback
 * interface, or inside a network of this machine's Docker.
 * @param server a URL
 */
export function isLocalServer(server: string, interfaces: Interfaces = networkInterfaces()): boolean {
  const host = new URL(server).hostname.replace(/^\[|\]$/g, '');
  const version = isIP(host);
  if (version === 0) return LOCAL_NAMES.test(host);
  return localAddresses(interfaces).check(host, version === 6 ? 'ipv6' : 'ipv4');
}
