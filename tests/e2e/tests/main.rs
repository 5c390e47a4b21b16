//! Placeholder.
use anyhow::Result;
use e2e::{browser::*, baresip::Baresip, namespace, tone::Recording};
use std::path::Path;

fn main() -> Result<()> {
    namespace::require()?;
    let dir = Path::new("/tmp/e2e-try");
    std::fs::create_dir_all(dir)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let wav = dir.join("a.wav");
        Recording::sine(1000, -12.0, 10).write_wav(&wav)?;
        let driver = Chromedriver::start(dir).await?;
        for mic in [Microphone::Plays(wav), Microphone::Denied] {
            let browser = driver.open(dir, &mic).await?;
            browser.show("http://127.0.0.1:8090/zz-try.html").await.ok();
            e2e::pages::serve("http://localhost:8080").await.ok();
            browser.show("http://127.0.0.1:8090/zz-try.html").await?;
            println!("{:?}", browser.in_page("return navigator.mediaDevices.getUserMedia({audio:true}).then(async s => {
               const t=s.getAudioTracks()[0]; const c=new AudioContext(); const a=c.createAnalyser(); a.fftSize=32768; c.createMediaStreamSource(s).connect(a);
               const out=[]; for (let i=0;i<10;i++){ await new Promise(r=>setTimeout(r,700)); const d=new Float32Array(4096); a.getFloatTimeDomainData(d); out.push(Math.max(...d)); }
               return [t.label, JSON.stringify(t.getSettings()), out] }).catch(e => String(e))").await);
            println!("{:?}", browser.console().await);
            browser.quit().await?;
        }
        let mut b = Baresip::start(dir, 440).await?;
        b.hang_up().await?;
        println!("{}", b.tail());
        anyhow::Ok(())
    })
}
