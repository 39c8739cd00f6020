import { connect, createServer, type Server, type Socket } from 'node:net'

export type Fault =
  /** Bytes flow. */
  | 'none'
  /** A dead server behind a living balancer: every connection is taken and closed at once. */
  | 'accept-and-close'
  /** A dead network: connections are taken (as by the kernel of a frozen machine), and no byte moves in either direction. */
  | 'black-hole'

/** One client's connection through the proxy. */
export interface Passage {
  /** Ends both sides in order (FIN), as a balancer that drains does. */
  close(): void
}

/** A TCP proxy before a server, with faults on command. */
export class TcpProxy {
  fault: Fault = 'none'
  /** Connections that were taken, whatever became of them. */
  accepted = 0
  /** Sees what the client sends, before the server does. */
  onRequest: (bytes: Buffer, passage: Passage) => void = () => undefined
  /** Sees what the server sends; `false` drops it. */
  onAnswer: (bytes: Buffer, passage: Passage) => boolean = () => true
  private server: Server | undefined
  private readonly sockets = new Set<Socket>()

  private constructor(
    private readonly target: { host: string; port: number },
    public port = 0,
  ) {}

  static async start(target: { host: string; port: number }): Promise<TcpProxy> {
    const proxy = new TcpProxy(target)
    await proxy.listen()
    return proxy
  }

  /** Takes connections, again on the same port after `refuse`. */
  async listen() {
    const server = createServer((client) => this.accept(client))
    this.server = server
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(this.port, '127.0.0.1', resolve))
    const address = server.address()
    if (address !== null && typeof address === 'object') this.port = address.port
  }

  /** Cuts everything; new connections are refused until `listen`. */
  async refuse() {
    const closed = new Promise((resolve) => this.server?.close(resolve))
    this.cut()
    await closed
  }

  /** Closes every passage. */
  cut() {
    for (const socket of this.sockets) socket.destroy()
  }

  /** Every passage gets a FIN in both directions. */
  finish() {
    for (const socket of this.sockets) socket.end()
  }

  private accept(client: Socket) {
    this.accepted++
    client.on('error', () => client.destroy())
    // What is not read would keep it from ever being closed.
    if (this.fault === 'accept-and-close') return void client.resume().end()
    const server = connect(this.target)
    const passage: Passage = {
      close() {
        client.end()
        server.end()
      },
    }
    server.on('error', () => client.destroy())
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(from)
      from.on('close', () => {
        this.sockets.delete(from)
        to.destroy()
      })
    }
    client.on('data', (bytes: Buffer) => {
      if (this.fault === 'black-hole') return
      this.onRequest(bytes, passage)
      if (!server.destroyed) server.write(bytes)
    })
    server.on('data', (bytes: Buffer) => {
      if (this.fault === 'black-hole' || !this.onAnswer(bytes, passage) || client.destroyed) return
      client.write(bytes)
    })
  }
}
