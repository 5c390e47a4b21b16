// Many scripted visitors in one page of the signal-server's own origin: each a WebSocket and a peer connection, as the panel has
// them, and nothing of our phone. What they did stands in `crowd`.
const context = new AudioContext()
const tone = context.createOscillator(), out = context.createMediaStreamDestination()
tone.connect(out)
tone.start()

class Visitor {
  events = []
  said = ''

  async hello(resume) {
    const panel = await fetch('/panel?merchant=acme&link=sales', { referrerPolicy: 'no-referrer' })
    const token = (await panel.text()).match(/data-token="([^"]+)"/)[1]
    this.socket = new WebSocket(`ws://${location.host}/ws/visitor`)
    this.socket.onmessage = ({ data }) => this.heard(JSON.parse(data))
    this.socket.onclose = () => { this.isOpen = false }
    await new Promise((opened, failed) => { this.socket.onopen = opened; this.socket.onerror = failed })
    this.isOpen = true
    this.say({ type: 'hello', version: 1, token, origin, ...resume && { resume } })
    const audio = new RTCPeerConnection()
    for (const track of out.stream.getTracks()) audio.addTrack(track, out.stream)
    await audio.setLocalDescription()
    await new Promise((gathered) => {
      audio.onicegatheringstatechange = () => audio.iceGatheringState === 'complete' && gathered()
      audio.onicecandidate = ({ candidate }) => candidate || gathered()
    })
    this.say({ type: 'offer', sdp: audio.localDescription.sdp })
    this.say({ type: 'ready' })
    this.next = audio
  }

  say(message) {
    this.socket.send(JSON.stringify(message))
  }

  async heard(event) {
    this.events.push(event.type)
    if (event.type === 'state') this.state = event.state
    if (event.type === 'resume') this.token = event.token
    if (event.type === 'resumed') this.resumed = performance.now()
    if (event.type === 'ended') this.ended = event.reason
    if (event.type === 'answer') {
      this.audio?.close()
      this.audio = this.next
      await this.audio.setRemoteDescription({ type: 'answer', sdp: event.sdp })
    }
  }

  async packets() {
    let count = 0
    for (const report of (await this.audio.getStats()).values()) {
      if (report.type === 'inbound-rtp') count += report.packetsReceived
    }
    return count
  }

  /** Tries until a server has the call. */
  async comeBack() {
    while (!this.resumed && !this.ended) {
      await this.hello(this.token).catch(() => {})
      await new Promise((later) => setTimeout(later, 250))
    }
  }
}

window.crowd = Array.from({ length: size }, () => new Visitor())
window.packets = () => Promise.all(crowd.map((visitor) => visitor.packets()))
for (const visitor of crowd) visitor.hello().catch((error) => visitor.events.push(String(error)))
