//! The shopper's device: a network namespace of its own inside the tests', and the networks that lead from it to the server,
//! each a pair of veth interfaces that a test plugs in, pulls out, breaks without a word or gives another address. Not here:
//! the browser that runs in it.

use crate::wait::eventually;
use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a namespace may take to be there.
const MADE_WITHIN: Duration = Duration::from_secs(5);

/// Connections through a door that wait for the thread behind it; a test asks one question after the other.
const DOOR_QUEUE: usize = 16;

/// A device without networks, but for its own loopback. Dropping it takes its networks along.
#[derive(Debug)]
pub struct Device {
    /// Keeps the namespace; nothing else does.
    holder: Child,
}

impl Device {
    /// Makes it.
    ///
    /// # Errors
    /// When this user may make no namespace.
    pub async fn new() -> Result<Self> {
        let holder = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "unshare", "--net", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .context("unshare cannot be run")?;
        let device = Self { holder };
        let ours = std::fs::read_link("/proc/self/ns/net")?;
        eventually("the device has a namespace", MADE_WITHIN, async || {
            ensure!(std::fs::read_link(device.namespace())? != ours, "it is still in ours");
            Ok(())
        })
        .await?;
        device.inside(&["ip", "link", "set", "lo", "up"])?;
        Ok(device)
    }

    /// What stands before a program's arguments to run it in the device.
    pub fn runs(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net={}", self.namespace())]
    }

    /// A way to a TCP port of the device's loopback from the same port of ours, which no broken network touches.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn door(&self, port: u16) -> Result<Door> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // That of the test before may take a moment to go.
        let listener =
            eventually("the door's port is free", MADE_WITHIN, async || Ok(TcpListener::bind(address).await?));
        let listener = listener.await?;
        let (inwards, mut waiting) = mpsc::channel::<std::net::TcpStream>(DOOR_QUEUE);
        let namespace = File::open(self.namespace())?;
        let entered = std::thread::spawn(move || -> Result<()> {
            // The namespace is the thread's, and of the sockets that it makes.
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                while let Some(outer) = waiting.recv().await {
                    let mut outer = TcpStream::from_std(outer)?;
                    tokio::spawn(async move {
                        let Ok(mut inner) = TcpStream::connect(address).await else { return };
                        let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                    });
                }
                Ok(())
            })
        });
        let accepts = tokio::spawn(async move {
            while let Ok((outer, _)) = listener.accept().await {
                let Ok(outer) = outer.into_std() else { break };
                if entered.is_finished() || inwards.send(outer).await.is_err() {
                    break;
                }
            }
        });
        Ok(Door(accepts))
    }

    /// Joins the device with another network, whose addresses are 10.98.`n`.1 (ours) and 10.98.`n`.2. Where there are
    /// several, the default route is that of the lowest `n`.
    ///
    /// # Errors
    /// When there is such a network already.
    pub fn join(&self, n: u8) -> Result<Network> {
        let (far, near) = (format!("far{n}"), format!("net{n}"));
        let pid = self.holder.id().to_string();
        outside(&["ip", "link", "add", "name", &far, "type", "veth", "peer", "name", &near, "netns", &pid])?;
        // Or each gets an address of IPv6 a second later, and the browser drops what it is loading: its network has changed.
        outside(&["ip", "link", "set", "dev", &far, "addrgenmode", "none"])?;
        self.inside(&["ip", "link", "set", "dev", &near, "addrgenmode", "none"])?;
        let enters = self.runs();
        let mut network = Network { n, host: 2, far, near, enters, is_broken: false, rules: Vec::new() };
        outside(&["ip", "address", "add", &format!("{}/24", network.gateway()), "dev", &network.far])?;
        // As networks do with what cannot be theirs (RFC 2827): what still has another network's address goes nowhere.
        let range = network.range();
        network.rule(&["!", "-s", &range, "-j", "DROP"])?;
        network.plug()?;
        Ok(network)
    }

    /// Runs a program in the device, and waits for its end.
    fn inside(&self, arguments: &[&str]) -> Result<()> {
        let [program, option] = self.runs();
        outside(&[&[&*program, &*option], arguments].concat())
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A way into a device. Dropping it closes it, for the door of the next test is at the same port.
#[derive(Debug)]
pub struct Door(JoinHandle<()>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One network of a device. Dropping it takes it away.
#[derive(Debug)]
pub struct Network {
    n: u8,
    host: u8,
    far: String,
    near: String,
    enters: [String; 2],
    is_broken: bool,
    /// What its firewall makes of what comes from the device.
    rules: Vec<Vec<String>>,
}

impl Network {
    /// Its address outside the device, to which the device's default route leads.
    pub fn gateway(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 98, self.n, 1))
    }

    /// Lets nothing pass from now on but TCP to one port, as a firewall does: all else is dropped without a word.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn allow_only_tcp(&mut self, port: u16) -> Result<()> {
        self.rule(&["-p", "tcp", "--dport", &port.to_string(), "-j", "ACCEPT"])?;
        self.rule(&["-j", "DROP"])
    }

    fn range(&self) -> String {
        format!("10.98.{}.0/24", self.n)
    }

    /// Adds a rule for what comes from the device.
    fn rule(&mut self, rule: &[&str]) -> Result<()> {
        self.rules.push(rule.iter().map(|word| (*word).to_owned()).collect());
        outside(&[&["iptables", "-w", "-A", "INPUT", "-i", &*self.far], rule].concat())
    }

    /// Puts the cable in: a carrier, an address, and the default route of this network.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn plug(&self) -> Result<()> {
        outside(&["ip", "link", "set", &self.far, "up"])?;
        self.inside(&["ip", "link", "set", &self.near, "up"])?;
        let address = format!("10.98.{}.{}/24", self.n, self.host);
        self.inside(&["ip", "address", "replace", &address, "dev", &self.near])?;
        let (via, metric) = (format!("10.98.{}.1", self.n), self.n.to_string());
        self.inside(&["ip", "route", "replace", "default", "via", &via, "dev", &self.near, "metric", &metric])
    }

    /// Pulls the cable out: no carrier, which the device knows at once. The address goes, as with a network that is left.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn pull(&self) -> Result<()> {
        outside(&["ip", "link", "set", &self.far, "down"])?;
        self.inside(&["ip", "address", "flush", "dev", &self.near])?;
        self.inside(&["ip", "link", "set", &self.near, "down"])
    }

    /// Gives the device another address here, as a new lease does: 10.98.`n`.`host`.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn readdress(&mut self, host: u8) -> Result<()> {
        self.inside(&["ip", "address", "flush", "dev", &self.near])?;
        self.host = host;
        // The default route went with the address.
        self.plug()
    }

    /// Loses everything, both ways, without a word: neither end is told.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn break_down(&mut self) -> Result<()> {
        self.is_broken = true;
        self.drop_all("-I")
    }

    /// Carries again.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn mend(&mut self) -> Result<()> {
        self.is_broken = false;
        self.drop_all("-D")
    }

    /// Loses what comes from the device, without a word; what goes to it still arrives.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn break_uplink(&mut self) -> Result<()> {
        self.is_broken = true;
        self.drop_from_device("-I")
    }

    /// Carries it again.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn mend_uplink(&mut self) -> Result<()> {
        self.is_broken = false;
        self.drop_from_device("-D")
    }

    /// Rules for what comes in, at both ends: what may not go out would be an error at the sender.
    fn drop_all(&self, act: &str) -> Result<()> {
        self.drop_from_device(act)?;
        self.inside(&["iptables", "-w", act, "INPUT", "-i", &self.near, "-j", "DROP"])
    }

    fn drop_from_device(&self, act: &str) -> Result<()> {
        outside(&["iptables", "-w", act, "INPUT", "-i", &self.far, "-j", "DROP"])
    }

    fn inside(&self, arguments: &[&str]) -> Result<()> {
        let [program, option] = &self.enters;
        outside(&[&[&**program, &**option], arguments].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.is_broken {
            // The device's own rule goes with the device.
            let _ = outside(&["iptables", "-w", "-D", "INPUT", "-i", &self.far, "-j", "DROP"]);
        }
        for rule in &self.rules {
            let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
            let _ = outside(&[&["iptables", "-w", "-D", "INPUT", "-i", &*self.far], rule.as_slice()].concat());
        }
        let _ = outside(&["ip", "link", "delete", &self.far]);
    }
}

pub(crate) fn outside(arguments: &[&str]) -> Result<()> {
    let (program, rest) = arguments.split_first().context("no program")?;
    let done = Command::new(program).args(rest).output().with_context(|| format!("{program} cannot be run"))?;
    ensure!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
