# Ruby's net-ftp: it resumes the control connection's session by itself.
#
# A resident (residents.py): each job is done by a process forked from this one, which has loaded OpenSSL.
require 'net/ftp'
require 'openssl'

def work
  ftp = Net::FTP.new(
    nil,
    ssl: { ca_file: ENV.fetch('FTP_CA') },
    passive: ENV.fetch('FTP_DATA') == 'passive',
    open_timeout: 30,
    read_timeout: 30
  )
  ftp.connect(ENV.fetch('FTP_HOST'), ENV.fetch('FTP_PORT').to_i)
  ftp.login(ENV.fetch('FTP_USER'), ENV.fetch('FTP_PASSWORD'))
  File.readlines('job.tsv', chomp: true, encoding: 'UTF-8').each do |line|
    operation, a, b = line.split("\t")
    case operation
    when 'mkdir' then ftp.mkdir(a)
    when 'put' then ftp.putbinaryfile(a, b)
    when 'get' then ftp.getbinaryfile(a, b)
    when 'reput'
      ftp.resume = true
      ftp.putbinaryfile(a, b)
    when 'reget'
      ftp.resume = true
      ftp.getbinaryfile(a, b)
    when 'list' then puts ftp.list
    when 'nlst' then puts ftp.nlst
    when 'mlsd' then puts(ftp.mlsd.select { |entry| %w[file dir].include?(entry.type) }.map(&:pathname))
    when 'size' then puts ftp.size(a)
    when 'time' then puts ftp.mtime(a).to_i
    when 'rename' then ftp.rename(a, b)
    when 'delete' then ftp.delete(a)
    else raise NotImplementedError, operation
    end
  end
  ftp.quit
  ftp.close
end

$stdin.each_line(chomp: true) do |folder|
  child = fork do
    Dir.chdir(folder)
    ENV.replace(File.readlines('job.env', chomp: true, encoding: 'UTF-8').to_h { |line| line.split('=', 2) })
    work
  end
  status = Process.wait2(child)[1]
  $stdout.write("\x1e#{status.exitstatus || -1}\n")
  $stdout.flush
end
